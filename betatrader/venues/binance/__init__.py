"""Binance spot.

wire       the venue's JSON messages as model events; pure
recording  a file of recorded messages as a stream of model events
"""
