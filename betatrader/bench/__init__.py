"""Benchmarks: each figure with its goal, and as a ratio where a baseline can run beside it.

result  one figure, its goal, and whether it is met
engine  engine, simulated venue and a plain Python strategy on real ticks and depth
journal what the journal costs an order
tape    a recording over and over, and a trader that plays it with its journal on
churn   a strategy that makes orders in great number, and a venue that ends them
recovery how long a trader takes to be back where its journal ends
shipping  what shipped durability adds to an order
bus     a message there and back between two processes, against bare redis-py
memory  what a closed order holds in memory, and that it is let go
soak    ten million events and a million orders: does memory grow?
wire    at Binance, from the bytes of a market message to those of a signed order
wire_polymarket the same at Polymarket
beside  the same steps by a library that others wrote, in turns with ours
wire_ccxt  what a user of ccxt does at Binance
wire_official what a user of Polymarket's own clients does
quota   the trading role under the CPU quota of a small shared machine
failover how long nobody trades where one trader follows another
"""
