"""Every metric of ours, by name, in one place; bound once, so that counting costs one call."""

from prometheus_client import Counter, Gauge

EVENTS = Gauge("bt_events", "Events taken by the engine in this run")
ORDERS = Gauge("bt_orders", "Orders handed to the venue in this run")
FILLS = Counter("bt_fills_total", "Fills received")
DENIALS = Counter("bt_denials_total", "Intents that risk denied", ["check"])
WARNINGS = Counter("bt_warnings_total", "Orders that passed with a limit near", ["check"])
SIGNED = Counter("bt_signed_total", "Orders signed in shadow and not sent", ["venue", "outcome"])
EQUITY = Gauge("bt_equity_usd", "Cash and positions at their marks")
RECONCILED = Counter("bt_reconciled_total", "Differences to the venue repaired", ["kind"])
BARRED = Gauge("bt_venue_barred", "1 while a venue does not serve this address", ["venue"])
VENUE_LOST = Counter("bt_venue_lost_total", "Losses of a venue's connection", ["venue"])
SOCKETS_LOST = Counter("bt_sockets_lost_total", "WebSockets that broke or fell silent", ["host"])
LEADER = Gauge("bt_leader", "1 while this trader holds the lease")
UNSENT = Counter("bt_unsent_total", "Commands not sent, since the lease did not hold", ["kind"])
SHIPPED_WHOLE = Counter(
    "bt_shipped_whole_total", "Snapshots shipped since the server or our queue had lost records"
)
STANDBY_BEHIND = Gauge("bt_standby_behind_ms", "How far a standby is behind the leader")
HELD_BACK = Counter("bt_held_back_total", "Orders not sent, since their record was not shipped")
AUDIT_DROPPED = Counter("bt_audit_dropped_total", "Audit records dropped while Redis was away")
REQUESTS_DROPPED = Counter("bt_requests_dropped_total", "Forecast requests dropped, Redis away")
REDIS_ERRORS = Counter("bt_redis_errors_total", "Redis calls that failed", ["what"])
FORECASTS = Counter("bt_forecasts_total", "Forecasts made")
LATE = Counter("bt_late_requests_total", "Forecast requests dropped, since they came too late")
ALERTS = Counter("bt_alerts_total", "Alerts for the webhook, by what became of them", ["outcome"])
DEADMAN = Counter("bt_deadman_total", "Pings of the outside watch, by their outcome", ["outcome"])
CONTROL = Counter("bt_control_total", "Orders at /control, by what became of them", ["outcome"])
DEAD_LETTERS = Counter("bt_dead_letters_total", "Messages put into a dead-letter stream")
BAD_MESSAGES = Counter(
    "bt_bad_messages_total", "Messages of a venue that cannot be used", ["venue", "kind"]
)
NO_BOOK = Counter("bt_no_book_total", "Books that were asked for and not got", ["venue"])
FROZEN_BOOKS = Counter(
    "bt_frozen_books_total",
    "Books whose changes stayed away while their best bid and ask went on",
    ["venue", "symbol"],
)
WRONG_BOOKS = Counter(
    "bt_wrong_books_total", "Books whose changes flowed, and of which one was missed", ["venue"]
)
FEES_ELSEWHERE = Counter(
    "bt_fees_elsewhere_total", "Fills whose fee was paid in a third asset", ["venue", "asset"]
)
JOB_RUNS = Counter("bt_job_runs_total", "Runs of jobs", ["job", "status"])
UNUSABLE = Counter("bt_unusable_total", "Messages of venues not used", ["channel", "why"])
