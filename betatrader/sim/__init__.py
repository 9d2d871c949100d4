"""A pretend venue, pure: the one behind paper trading, backtests and tests.

exchange   matching of our orders against recorded liquidity, with latency and fees
transit    what is under way to it and back: each takes one latency
custody    what accounts hold there: their ledgers, and what is paid into them
pool       the liquidity of one instrument: recorded levels and individual orders
admission  whether the venue takes an order
amending   a resting order that asks for less, at its place in the queue
ledger     the venue's own account of orders, fills and balances, which the engine never touches
generator  a seeded market: order flow for a spot pair and for binary contracts that resolve
faults     what a link may do to a message
excerpt    cuts a stretch out of recorded data
session    one engine and one exchange on a stream of events
replay     a journal's events through an engine, compared
invariants what must be true of a run, computed from both sides' books
"""
