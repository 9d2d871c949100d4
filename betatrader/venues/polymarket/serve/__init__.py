"""A Polymarket of our own: its protocol before the simulated exchange, for any client of it.

server  the venue as a core without sockets: every path, the market, and the passing of time
hosting  the same on a port of this machine
reading  what anyone may ask of the CLOB: markets, books, prices
discovery  the Gamma and Data APIs
access  API keys: made, derived, listed, deleted
accounts  what an account may ask: orders, trades, balances
trading  orders and cancels as requests, and the dead-man switch
relaying  the relayer: transactions of wallets, taken, carried out, and told
chain  what such a transaction says and who signed it; the contracts that it calls
payload  a posted order: read, and checked against the market's rules
desk  orders and trades of all accounts, between requests and the exchange's reports
records  one order and one trade, and how the venue shows them
settlement  trades, and their way to the chain
books  each token's book as the venue shows it, with its hash
listings  the markets, as CLOB and Gamma describe them
sockets  the market and user channels
news  what subscribers are told of the market
state  the parts of the venue that its requests share
signatures  EIP-712 digests, and who signed them
authentication  API keys and the headers of both levels
limits  how many requests are allowed
acts  what is done to it on request: keys revoked, rules changed, markets closed
troubles  what goes wrong on request
agenda  what is to happen at a later time
answers  JSON answers, refusals and cursor pages
"""
