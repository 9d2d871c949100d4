"""Binance spot.

wire       the venue's JSON messages as model events; pure
recording  a file of recorded messages as a stream of model events
sign       signatures of requests: HMAC-SHA256 and Ed25519
limits     the venue's rate limits, and its clock as ours sees it
connecting attempts to connect, counted: no more than the venue takes
rules      what may be traded, as instruments: exchangeInfo and fees; pure
rest       questions over REST, and answers by what they mean
account    what it says of our orders and balances, as account events; pure
books      our account as it states it, by REST
listing    which instruments are listed, by which rules; and its clock
session    one connection to the WebSocket API: orders, answers, reports
venue      all of it as the trader sees it
book_sync  changes of a book joined to its snapshots; pure
public     the market alone, without a key
shadow     orders built and signed, and not sent
market     the public market: one stream, and books that are never wrong
orders     orders on the wire: parameters out, typed structs in; pure
"""
