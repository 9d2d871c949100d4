"""The nouns of trading: pure values, no input or output.

ids         names of venues, instruments, strategies and orders
money       exact fixed-point prices, quantities and cash
instrument  spot pairs and binary contracts, their ticks, lots and fees
market      market events: books, quotes, public trades, resolutions
order       sides, order types, order states and the table of legal transitions
account     what a venue says of our orders and cash
signal      forecasts
instruction what the operator orders
command     what the engine answers, and the audit of one event (Step)
summary     the trader's account in a few lines, for people and reports
event       the union of all inputs, and the codec of journal and bus
ladder      paper, shadow, micro, full: what each step needs of the one before
limits      the limits that risk holds
features    public market data as the numbers that a model reads
errors      the tree of errors
secret      a text that is never shown
"""
