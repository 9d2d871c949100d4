"""The configuration: one tree of frozen structs, from a TOML file and the environment.

Unknown fields are refused, every error is reported at once with its line, field and a
did-you-mean. Environment variables override the file: `BETATRADER_RISK__DAILY_LOSS_USD=15`.
Amounts are decimal numbers, converted exactly.

reader   tables beside the structs that they should be, and every problem at once
live     the table of real money, and what the modes ask of the rest
shard    a trader's share of its account's limits
venues   the tables of the real venues
"""

import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from betatrader.config.live import Live, fault
from betatrader.config.reader import ENVIRONMENT, Reader, Section
from betatrader.config.shard import Shard, too_small
from betatrader.config.venues import Binance, Polymarket, elsewhere, too_late
from betatrader.model.errors import ConfigurationError
from betatrader.model.limits import SECOND_NS, Limits
from betatrader.model.money import SCALE
from betatrader.model.secret import Secret

Amount = Annotated[Decimal, msgspec.Meta(extra={"above": 0})]
"""A positive amount of USD."""

Share = Annotated[Decimal, msgspec.Meta(extra={"above": 0, "most": 1})]
"""A fraction in (0, 1]."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class Risk(Section, frozen=True, kw_only=True):
    """[risk]: what no order may exceed. The defaults fit an account of 100 USD."""

    order_quantity: Amount = Decimal(1_000_000)
    """Shares, or units of what is traded: against an order whose price is wrong by far."""
    order_notional_usd: Amount = Decimal(10)
    position_notional_usd: Amount = Decimal(20)
    position_event_usd: Amount = Decimal(40)
    position_venue_usd: Amount = Decimal(100)
    total_notional_usd: Amount = Decimal(100)
    open_positions: Count = 3
    open_orders: Count = 20
    orders_per_minute: Count = 300
    daily_loss_usd: Amount = Decimal(20)
    drawdown: Share = Decimal("0.2")
    collar: Share = Decimal("0.05")
    collar_ticks: Count = 5
    """The collar is never narrower than this: a contract's price may be small."""
    stale_data_seconds: Annotated[Decimal, msgspec.Meta(extra={"above": 0})] = Decimal(5)

    def limits(self) -> Limits:
        """The same as the engine's limits."""
        return Limits(
            order_quantity=units(self.order_quantity),
            order_notional=units(self.order_notional_usd),
            position_notional=units(self.position_notional_usd),
            position_event=units(self.position_event_usd),
            position_venue=units(self.position_venue_usd),
            total_notional=units(self.total_notional_usd),
            open_positions=self.open_positions,
            open_orders=self.open_orders,
            orders_per_minute=self.orders_per_minute,
            daily_loss=units(self.daily_loss_usd),
            drawdown=units(self.drawdown),
            collar=units(self.collar),
            collar_ticks=self.collar_ticks,
            stale_data_ns=int(self.stale_data_seconds * SECOND_NS),
        )


class Paper(Section, frozen=True, kw_only=True):
    """[paper]: the simulated venue."""

    cash_usd: Amount = Decimal(100)
    latency_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5
    link: Annotated[str, msgspec.Meta(pattern=r"^$|^[^ ]+:[0-9]{1,5}$")] = ""
    """HOST:PORT of a venue in a process of its own (`betatrader venue serve sim`)."""
    account: str = "us"
    """Ours there."""
    market: Literal["recorded", "live"] = "recorded"
    """What is traded on: recordings and generated markets, or what real venues show now (those
    whose tables name something to trade). Fills are simulated in either case."""
    venues: tuple[Literal["binance", "polymarket"], ...] = ()
    """Paper trading over real venues' own protocols, at simulators of them on this machine: the
    addresses in their tables are loopback ones (`betatrader venue serve binance`)."""


class Feed(Section, frozen=True, kw_only=True):
    """[feed]: what is traded on. Without `data`: the packaged excerpt and a generated contract."""

    data: tuple[str, ...] = ()
    generated: bool = True
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    pattern: Annotated[Decimal, msgspec.Meta(extra={"least": 0, "most": 1})] = Decimal(1)
    speed: Annotated[Decimal, msgspec.Meta(extra={"above": 0, "most": 1000})] = Decimal(1)


class StrategyEntry(Section, frozen=True, kw_only=True):
    """[[strategies]]: a shipped strategy's `name`, or `PATH[:CLASS]` of one of yours.

    `venues` are those where it may trade, as instrument ids name them; none: all. With
    `stop_within` above 0 each of its buys must carry a stop, at most that share below its price.
    """

    name: str
    parameters: dict[str, Any] = {}
    venues: tuple[str, ...] = ()
    stop_within: Annotated[Decimal, msgspec.Meta(extra={"least": 0, "most": 1})] = Decimal(0)


class Intel(Section, frozen=True, kw_only=True):
    """[intel]: forecasts."""

    models: str = ""
    """A folder with a manifest; "" is the model that ships."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    slot: str = ""
    """Its name among all that share the work; "" is the machine's."""


class Jobs(Section, frozen=True, kw_only=True):
    """[jobs]: five-field cron expressions, in UTC."""

    pnl_report: str = "* * * * *"
    stream_upkeep: str = "* * * * *"
    keep_hours: Annotated[Decimal, msgspec.Meta(extra={"above": 0})] = Decimal(24)
    cost_usd_per_month: Annotated[Decimal, msgspec.Meta(extra={"least": 0})] = Decimal(0)
    """What this setup costs in 30 days (`betatrader release cost`); profit is told net of it."""


class JournalSection(Section, frozen=True, kw_only=True):
    """[journal]: every event and answer, on disk."""

    keep_mb: Annotated[int, msgspec.Meta(ge=16)] = 1024
    sync_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    durability: Literal["local", "shipped"] = "local"
    """When an order may leave: once its record is on this disk, or once Redis has it too."""
    schema: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Which schema is written where no release has confirmed one in Redis; 0: the newest that this
    version has where the lease is `solo` (nobody else reads it), else the one before."""


class Reconcile(Section, frozen=True, kw_only=True):
    """[reconcile]: comparing our books with the venue's while running.

    `unexplained` is a balance that no order of ours explains: "adopt" books it as a deposit or
    withdrawal; "halt" halts besides; "ignore" leaves it to whoever it belongs to, so that nothing
    of it is ever sold or spent.
    """

    every_seconds: Annotated[Decimal, msgspec.Meta(extra={"above": 0})] = Decimal(10)
    unexplained: Literal["adopt", "ignore", "halt"] = "adopt"


class LeaseSection(Section, frozen=True, kw_only=True):
    """[lease]: one writer. "strict" sends no order once its lease may have ended; "solo", for one
    machine, trades on while Redis is away."""

    mode: Literal["solo", "strict"] = "solo"
    ttl_seconds: Annotated[Decimal, msgspec.Meta(extra={"least": 1})] = Decimal(10)


class Health(Section, frozen=True, kw_only=True):
    """[health]: /livez, /readyz, /metrics. `port` 0 takes a free one; unset: 8701, 8702, 8703."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] | None = None
    everywhere: bool = False


class Watchdog(Section, frozen=True, kw_only=True):
    """[watchdog]: a trader whose event loop stands still so long is ended; 0: never."""

    stall_seconds: Annotated[Decimal, msgspec.Meta(extra={"least": 0})] = Decimal(5)


class Alerts(Section, frozen=True, kw_only=True):
    """[alerts]: trouble, posted as JSON. "" posts nothing; `level` is the least that is posted.

    `deadman` is asked by GET as long as the trader leads and is well: a service there tells you
    when that stops.
    """

    webhook: Annotated[Secret, msgspec.Meta(extra={"web": True})] = Secret()
    level: Literal["info", "warning", "error", "critical"] = "error"
    deadman: Annotated[Secret, msgspec.Meta(extra={"web": True})] = Secret()
    deadman_seconds: Annotated[Decimal, msgspec.Meta(extra={"least": 1, "most": 3600})] = Decimal(
        60
    )


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    mode: Literal["paper", "shadow", "live"] = "paper"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    risk: Risk = Risk()
    paper: Paper = Paper()
    live: Live = Live()
    shard: Shard = Shard()
    binance: Binance = Binance()
    polymarket: Polymarket = Polymarket()
    feed: Feed = Feed()
    strategies: tuple[StrategyEntry, ...] = ()
    intel: Intel = Intel()
    jobs: Jobs = Jobs()
    journal: JournalSection = JournalSection()
    reconcile: Reconcile = Reconcile()
    lease: LeaseSection = LeaseSection()
    health: Health = Health()
    watchdog: Watchdog = Watchdog()
    alerts: Alerts = Alerts()


class Loaded(msgspec.Struct, frozen=True):
    """A configuration and where each value came from (dotted field to source)."""

    config: Config
    sources: dict[str, str]


def _no_venue_twice(config: Config, reader: Reader) -> None:
    venues = config.paper.venues
    if len(set(venues)) < len(venues):
        place = reader.place(("paper", "venues"))
        raise ConfigurationError([f"{place}: paper.venues: each venue once; found {venues}"])


def units(amount: Decimal) -> int:
    """A decimal in units of 10^-8, rounded down: the validation refuses what is finer."""
    return int(amount * SCALE)


def find_file(explicit: str | None, home: Path) -> Path | None:
    """The file that is in force: the named one, `$BETATRADER_CONFIG`, or the home's."""
    named = explicit or os.environ.get(f"{ENVIRONMENT}CONFIG")
    if named:
        return Path(named)
    own = home / "betatrader.toml"
    return own if own.exists() else None


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Loaded:
    """Read file and environment; raises ConfigurationError with every problem at once."""
    text, name = "", "defaults"
    if path is not None:
        name = str(path)
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise ConfigurationError(
                [f"{path}: {reason}; `betatrader config init` writes a file"]
            ) from error
    return loads(text, name, environment)


def loads(text: str, name: str, environment: Mapping[str, str]) -> Loaded:
    """The same from the text of a file."""
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{name}: no valid TOML: {error}"]) from error
    reader = Reader(name, text.splitlines())
    reader.take_environment(values, environment)
    config = reader.table(Config, values, ())
    if reader.problems or config is None:
        raise ConfigurationError(reader.problems)
    wrong = fault(config)
    if wrong is not None:
        path, text = wrong
        raise ConfigurationError([f"{reader.place(path)}: {'.'.join(path)}: {text}"])
    _no_venue_twice(config, reader)
    small = too_small(config)
    if small:
        raise ConfigurationError([f"{reader.place(('shard', 'share'))}: shard.share: {small}"])
    late = too_late(config.polymarket)
    if late:
        path = ("polymarket", "heartbeat_seconds")
        raise ConfigurationError([f"{reader.place(path)}: {'.'.join(path)}: {late}"])
    for venue in config.paper.venues:
        far = elsewhere(getattr(config, venue))
        if far:
            place = reader.place(("paper", "venues"))
            raise ConfigurationError(
                [
                    f'{place}: paper.venues: "{venue}" is a simulator on this machine, '
                    f"and {venue}.{far[0]} is an address elsewhere; start "
                    f"`betatrader venue serve {venue}` and use its addresses"
                ]
            )
    if config.lease.mode == "solo" and config.journal.durability == "shipped":
        place = reader.place(("journal", "durability"))
        raise ConfigurationError(
            [
                f'{place}: journal.durability: "shipped" sends no order while Redis is away, and '
                'lease.mode "solo" is there to trade on; use "strict", or "local"'
            ]
        )
    return Loaded(config, reader.sources)
