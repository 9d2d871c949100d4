"""The configuration file that `config init` writes."""

TEMPLATE = """\
# betatrader's configuration. Every value here is the default: keep only what you change.
# Environment variables override it: BETATRADER_RISK__DAILY_LOSS_USD=15

mode = "paper"            # paper, shadow (orders signed, never sent), live (needs --live as well)
log_level = "info"        # debug, info, warning, error

[risk]                    # what no order may exceed; the defaults fit an account of 100 USD
order_quantity = 1000000  # shares, or units of what is traded
order_notional_usd = 10
position_notional_usd = 20
position_event_usd = 40   # the most that one event's contracts may lose, YES netted against NO
position_venue_usd = 100  # held and being bought on one venue
total_notional_usd = 100
open_positions = 3
open_orders = 20
orders_per_minute = 300   # orders and cancels; cancels count, and are never refused
daily_loss_usd = 20       # reached: HALTED until a person resumes
drawdown = 0.2            # of the highest equity; reached: HALTED
collar = 0.05             # how far beyond the other side's best price an order may reach
collar_ticks = 5          # and never less than so many ticks
stale_data_seconds = 5

[paper]
cash_usd = 100
latency_ms = 5            # one way, to the simulated venue and back
link = ""                 # HOST:PORT of a venue of its own process: betatrader venue serve sim
account = "us"            # ours there
market = "recorded"       # live: what real venues show now; their tables say which
venues = []               # "binance", "polymarket": simulators of them here, over their protocols

[live]                    # mode "live" on a command line with --live: real money
stage = "micro"           # micro: the venue's minimum size, few orders a day; full: as [risk] says
micro_orders_a_day = 5
daily_usd = 20            # bought in a day (UTC); a higher value waits for `limits confirm`

[shard]                   # one of several traders of one account, each in a database of its own
share = 1                 # of the limits that add up; together they may have 1
account = ""              # whose limits these are; another name has limits of its own

# [binance]               # keys come from the environment: BETATRADER_BINANCE__KEY, …__SECRET
# symbols = ["BTCUSDT"]
# recv_window_ms = 2000   # an order that arrives later is refused by the venue
# unseen_ms = 10000       # for so long after it arrived the venue's answers may not have it

# [polymarket]            # BETATRADER_POLYMARKET__PRIVATE_KEY
# markets = ["0x…"]       # condition ids
# follow = []             # beginnings of market names (slugs), traded as they open
# signature_type = 0      # 0 an account of its own, 1 proxy, 2 Safe, 3 deposit wallet
# funder = ""             # the wallet that holds the money, for types 1 to 3
# rate_tier = "standard"  # of the account, by its volume: copper, bronze, silver, gold, platinum,
                          # diamond, elite; at most so many orders and cancels leave
# socket_tokens = 500     # what one market socket carries, two a market
# heartbeat_seconds = 5   # how often the dead-man switch is kept from falling, and
# heartbeat_deadline_seconds = 10   # without what the venue cancels all that rests
# rest_seconds = 0        # orders that rest end by themselves after so long (GTD); 0: none does
# redeem = true           # what has ended; it takes BETATRADER_POLYMARKET__RELAYER_KEY
# merge = false           # pairs of YES and NO into cash, with the same key

[feed]
data = []                 # recordings or segments; none: the packaged excerpt
generated = true          # and, without data, a generated binary contract
seed = 1
pattern = 1.0             # how learnable the generated market is; 0: not at all
speed = 1                 # recorded time this many times as fast

[intel]
models = ""               # a folder with a manifest; "": the models that ship
threads = 1
slot = ""                 # its name among several that share the work; "": the machine's

[jobs]                    # five-field cron expressions, UTC
pnl_report = "* * * * *"
stream_upkeep = "* * * * *"
keep_hours = 24           # how long the audit stream is kept
cost_usd_per_month = 0    # what this setup costs: profit is reported net of it, too

[journal]                 # every event and answer, in the home's folder `journal`
keep_mb = 1024            # closed files; the oldest go first
sync_ms = 50              # how often what was written is made to survive the machine
durability = "local"      # an order leaves once on this disk; shipped: once Redis has it too
schema = 0                # what is written until a release confirms one; 0: by the lease

[reconcile]               # our books beside the venue's, while running
every_seconds = 10
unexplained = "adopt"     # a balance that no order explains: adopt books it, halt halts besides,
                          # ignore leaves it to its owner: nothing of it is sold or spent

[lease]                   # one writer
mode = "solo"             # solo: one machine, trades on while Redis is away; strict: it does not
ttl_seconds = 10

[health]
# port = 8701             # unset: 8701 trading, 8702 intel, 8703 jobs; 0: any free one
everywhere = false        # true: all addresses, IPv4 and IPv6; false: loopback alone

[watchdog]
stall_seconds = 5         # a trader that stands still so long is ended, to make way; 0: never

[alerts]
webhook = ""              # https://…: trouble is posted there as JSON; kept secret
level = "error"           # info, warning, error, critical: the least that is posted
deadman = ""              # https://…: asked while the trader leads and is well; kept secret
deadman_seconds = 60      # how often

# Without any [[strategies]], both that ship run with their defaults.
# [[strategies]]
# name = "forecast_edge"  # or a path: "my.py", "my.py:MyStrategy"
# parameters = { min_edge = 0.05, kelly_fraction = 0.2 }
# venues = ["BINANCE"]    # where it may trade: the ends of instrument ids; none: anywhere
# stop_within = 0.1       # each buy needs a stop, at most 10% below its price; 0: it needs none
"""
"""What `config init` writes; a test holds it equal to the defaults."""
