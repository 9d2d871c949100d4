"""Polymarket: its protocol, from both ends.

serve  the venue's own HTTP and WebSocket protocol before the simulated exchange
keccak    the hash that all of it rests on
eip712     typed data of orders and key requests as hashes; pure
sign       signs them, for all four kinds of account
headers    L1 and L2 headers; pure
amounts    prices and sizes as the venue's exact amounts; pure
forms      an order of ours as one of the venue's; pure
belt       an order that rests, with an expiry; pure
ids        which order of ours is which of the venue's
wire       the venue's JSON as typed structs, and its book hash; pure
limits     the venue's rate limits, and its clock as ours sees it
modes      the venue takes no new orders, or not all: they are kept back for a moment
standing   what the venue lets this address and this account do
rest       questions over REST, and answers by what they mean
following  markets that follow each other, found by how their names begin
listing    markets as instruments, with their fees and their ends
books      the market channel as market events, with a book of each token; pure
public     the market alone, without a key
shadow     orders built and signed, and not sent
market     the market channel, and a watch over books that stand still
recording  what was recorded of the channel and of REST, as events; pure but for the file
account    orders and trades as account events, each fill once; pure
settling   trades that the wallet does not have yet; pure
user       the user channel
statement  our account as the venue states it over REST
calldata   calls of the venue's contracts that merge and redeem; pure
relay      transactions for the venue's relayer, signed; pure
relayer    questions to the relayer
redeeming  redeems what has ended and merges pairs, each once
sending    orders and cancels on their way
heartbeat  the venue's dead-man switch
frames     text frames as messages; what cannot be used is counted
venue      all of it as the trader sees it
"""
