"""The trader's account in a few lines: what `status`, the live view and the report show.

Money and quantities are decimal strings, so that any reader keeps them exact.
"""

import msgspec


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One open position."""

    instrument: str
    quantity: str
    average_price: str
    mark: str
    unrealised: str


class MarketLine(msgspec.Struct, frozen=True, kw_only=True):
    """The top of one book, and the newest forecast with its time to live in ms (0: stale)."""

    instrument: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    age_ms: int
    forecast: float | None = None
    forecast_kind: str = ""
    forecast_left_ms: int = 0


class LimitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One limit in force, and how much of it is used now."""

    name: str
    limit: str
    used: str


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """Cash at one venue; `away`, `compared` and `barred` say whether it may be traded there now."""

    venue: str
    cash: str
    away: bool = False
    compared: bool = True
    barred: str = ""
    """Why the venue takes no new orders from here, "" where it does."""


class StrategyLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy has earned: its cash, and what it holds at its marks; USD, fees paid.

    "unknown" is what no strategy of today has made: positions found, and other hands' trades.
    """

    strategy: str
    profit: str


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Latency in microseconds; None where nothing was measured."""

    p50: float | None = None
    p99: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One trader's run, up to `time_ns` (UTC). `why_not`: why nothing is traded, if nothing is."""

    run: str
    mode: str
    version: str
    started_ns: int
    time_ns: int
    trading_state: str
    reason: str = ""
    events: int = 0
    signals: int = 0
    orders: int = 0
    fills: int = 0
    risk_denials: int = 0
    denials: dict[str, int] = {}
    cash: str = "0"
    accounts: tuple[AccountLine, ...] = ()
    equity: str = "0"
    pnl: str = "0"
    realised: str = "0"
    unrealised: str = "0"
    fees: str = "0"
    strategies: tuple[StrategyLine, ...] = ()
    positions: tuple[PositionLine, ...] = ()
    markets: tuple[MarketLine, ...] = ()
    limits: tuple[LimitLine, ...] = ()
    open_orders: int = 0
    to_sell: int = 0
    """Positions of a lot and more: less than that cannot be sold, and counts as flat."""
    epoch: int = 0
    failed: tuple[str, ...] = ()
    """Strategies whose own code failed; they are asked no more."""
    why_not: str = ""
    event_to_command_us: Quantiles = Quantiles()
    data_to_signal_us: Quantiles = Quantiles()
    invariants: dict[str, bool] = {}
    final: bool = False
    error: str = ""
    """Why the feed ended the run early, "" where it did not."""
