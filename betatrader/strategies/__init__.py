"""The strategies we ship, a file each; users' own load by path (`--strategy my.py`).

basket         buys exclusive outcomes together where they cost less than they must pay
forecast_edge  buys where the forecast's edge over the market beats costs and a threshold
parity         buys YES and NO together where the pair costs less than it pays
market_maker   quotes both sides and leans against its inventory; needs no model
"""
