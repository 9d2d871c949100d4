"""The whole trader under seeded faults in virtual time: repeatable, and judged by the venue.

simulate   runs seeds in processes of their own, and shrinks what fails
world      one run: venues, Redis, traders, faults
site       one of its venues: exchange, market, the way to it, what strikes it
plan       what goes wrong, and when
judge      what must be true
bugs       planted ones, to show that the judge can see
busy       a strategy that orders as often as it may
eager      one that wants more than it may, where the account is near its limits
operator   the person there, who halts, flattens and resumes
seams      where the product's edges meet the world: clock, disk, lock
bus        a small model of the Redis server: its clients, and what befalls it
keyspace   its data, and what commands do to it
venues     what a venue of a world is, and its protocol
network    connections between processes
wires      HTTP and WebSockets over it, between an adapter and a server
loop       an event loop of virtual time
"""
