"""The brain: pure and synchronous. Events in, Steps out, bit for bit repeatable.

answering  what it answers: intents through risk, stops, halts, flattening
engine     the order of work for one event, nothing else
state      everything the engine knows, and `fold`, which applies a record and never decides
lifecycle  folds of what starts, stops and holds back the trader
bookkeeping folds of what venues say of our orders: reports and fills
outside    folds of balances that changed without an order: cash, shares, merged pairs
booking    what is answered where nothing is decided: sentences, requests for forecasts
book       an order book from snapshots and deltas
market     one instrument as the engine sees it
orders     the life of orders: legal transitions, deduplicated fills
guarding   stops that rest at the venue
holdings   which strategy holds how much
portfolio  fills to positions, cost, cash, fees, profit and loss
proposal   one intent, with all that the checks look at
exposure   how much stands on one event, and on one venue
checks     the checks, each named
access     those of where an order goes: its venue is reached, serves us, is compared
ceilings   those of live trading: bought in a day, orders in a day, the venue's minimum size
today      what this day has used up
risk       asks every check; the only maker of `Approved`
leaving    whether an order that waited for its record may still leave
closing    what must be out of the way before a whole position is sold
sweeping   what each tick takes off the book: orders in a market that stands still
clearance  one glance that lets an ordinary order through, far from every limit
sizing     Kelly fraction, caps and rounding
strategy   what a strategy is, and what it may see
"""
