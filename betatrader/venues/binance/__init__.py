"""Binance spot.

wire       the venue's JSON messages as model events; pure
recording  a file of recorded messages as a stream of model events
sign       signatures of requests: HMAC-SHA256 and Ed25519
limits     the venue's rate limits, and its clock as ours sees it
orders     orders on the wire: parameters out, typed structs in; pure
"""
