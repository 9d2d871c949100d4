"""Wiring: the only rooms that see everything. A role is a name in a table; its module is imported
when it is chosen, so that each process loads only what is its own.

service     the life of every role: start, readiness, heartbeat, drain
trading     feeds to engine to venue, and the bus
journaling  the journal of a run: begun, synced, packed
trader      the synchronous run from an event to the venue's sender
account     the trader's Summary
accounts    each place where it trades, with its reconciler; one goes on while another is away
desks       where it trades: the paper venue inside, or a venue over a socket
live_paper  the paper venue inside, on what real venues show now
abroad      whether the venue serves this machine's address, asked for and obeyed
proving     from keys to a proven connection, a step at a time
permits     what an account and its key may do, as its venue tells it
choosing    which venues those are, as the configuration says
feeds       where market data comes from
strategies  finds strategies by name or path
intel       requests to forecasts
jobs        the schedule
local       up and demo: a private server and the three roles side by side
explaining  the life of one order, from the journal
controlling the operator's orders over HTTP, where Redis is away
leading     the lease: waited for, kept, and what happens where it is lost
standby     before a trader leads: an engine that follows
ladder      paper, shadow, micro, full: the record of each step, and who may enter it
keeping     where the books are: those of real money apart
following   the shipped journal into an engine
recovering  the engine as the last run's journal left it
sharing     its share of an account's limits, beside other traders'
reconnects  how often venues are lost, counted and told
vitals      what a trader's heartbeat tells of its work
reconciling our books beside the venue's, at the start and while running
recording   what a venue shows, raw and decoded, into files
serving     a simulated venue as a process
venue_process a simulated venue beside a run
contracts   markets for the simulated venues, under the names that those give
replaying   a journal through the engine that wrote it
report      what a run did, as JSON and as text
"""

ROLES = {
    "trading": "betatrader.roles.trading",
    "intel": "betatrader.roles.intel",
    "jobs": "betatrader.roles.jobs",
}
