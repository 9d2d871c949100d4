"""The edges to venues: each speaks its own protocol outside and the model's nouns inside.

venue    what every venue looks like to the trader
gateway  the only door for orders: takes Approved and CancelOrder, and hands reports back
in_flight requests without an answer yet, and the doubt that comes of it
egress   whether a venue serves the address that this machine has
pace     token buckets, and a rest after failures
paper    the simulated venue behind the gateway, in present time
shadow   the paper venue where each order is signed as well, by the real adapter, and not sent
paper_stream the paper venue's books in Redis, each entry there before it answers
paper_ledger the paper venue's books on disk
recorded recordings of what a venue has said, line by line
parts    a simulated venue some of whose parts fail alone
stage    what is done to a simulated venue on request: pages, closed markets, other rules
link     the same exchange in a process of its own, over a socket: the reference venue
ages     how long ago an order was made, by a clock that nobody sets
reconcile our books beside the venue's: what differs, as events that repair it
binance  Binance spot: the wire and recordings of it
polymarket the Polymarket CLOB: orders signed as EIP-712, books and reports over two channels
"""
