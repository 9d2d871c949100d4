"""A simulator of Binance spot that speaks its own protocol: REST, streams and the WebSocket API.

Behind it stands `sim.exchange`. A buy pays its commission in what it buys, a sell in the quote, as
the venue does for an account without BNB.

server     the core: a market played, requests taken, reports told
requests   parameters, keys and signatures, as the venue checks them
operations what each request does, whichever way it came
trading    orders placed, cancelled and replaced at the exchange
amending   orders that ask for less, at their place in the queue
prevention which orders of one account end rather than trade with each other
books      orders and executions of an account, as the venue words them
market     streams, and what anyone may ask of the market
api        one connection to the WebSocket API
keeping    a client's connection: pings, the limit of messages, the word that it ends
weights    rate limits by weight and by orders
acts       what is done to it on request: keys revoked, rules changed, pairs closed
running    the server on a port, with its demo account
"""

from betatrader.venues.binance.serve.running import serve_binance

__all__ = ["serve_binance"]
