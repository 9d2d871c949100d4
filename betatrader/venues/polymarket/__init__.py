"""Polymarket: its protocol, from both ends.

eip712     typed data of orders and key requests as hashes; pure
sign       signs them, for all four kinds of account
headers    L1 and L2 headers; pure
amounts    prices and sizes as the venue's exact amounts; pure
forms      an order of ours as one of the venue's; pure
ids        which order of ours is which of the venue's
wire       the venue's JSON as typed structs, and its book hash; pure
"""
