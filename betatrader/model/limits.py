"""The limits that risk holds; the defaults fit an account of 100 USD (design.md section 5)."""

import msgspec

from betatrader.model.money import SCALE

SECOND_NS = 1_000_000_000


UNBOUND = 1 << 62
"""A limit that binds nothing."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Money in units of 10^-8 USD, shares as fractions of 10^-8, times in ns."""

    order_notional: int = 10 * SCALE
    position_notional: int = 20 * SCALE
    total_notional: int = 100 * SCALE
    open_positions: int = 3
    open_orders: int = 20
    daily_loss: int = 20 * SCALE
    drawdown: int = SCALE // 5
    collar: int = SCALE // 20
    """How far a limit may stand beyond the other side's best price: 5%."""
    collar_ticks: int = 5
    """The collar is never narrower than this many ticks (a binary contract's price is small)."""
    stale_data_ns: int = 5 * SECOND_NS
    orders_per_minute: int = 300
    """Orders and cancels together; cancels count, and are never refused."""
    order_quantity: int = 1_000_000 * SCALE
    position_event: int = 40 * SCALE
    """What may be lost on all contracts of one event, at its worst outcome."""
    position_venue: int = 100 * SCALE
    daily_bought: int = UNBOUND
    """What may be bought in a day (UTC): the ceiling of live trading."""
    daily_orders: int = UNBOUND
    """Orders that buy in a day: a few, in micro."""
    minimum_times: int = UNBOUND
    """A buy is at most so many times the venue's minimum size: 1 in micro."""
    venues: dict[str, tuple[str, ...]] = {}
    """Where a strategy may trade, by its name; one that is not named may trade anywhere."""
    stops: dict[str, int] = {}
    """How far below its price a strategy's buy may have its stop, by its name, as a share: one that
    is named buys nothing without."""


AMOUNTS = tuple(name for name in Limits.__struct_fields__ if name not in ("venues", "stops"))
"""The limits that are numbers."""


def calm(limits: Limits) -> Limits:
    """The levels at which risk warns: 80% of each limit, rounded down."""
    lower = {name: getattr(limits, name) * 4 // 5 for name in AMOUNTS}
    return Limits(**lower, venues=limits.venues, stops=limits.stops)


FIRST_DAILY_BOUGHT = 20 * SCALE
"""What may be bought in a day with real money before a person has confirmed more."""


def modest(first: Limits) -> Limits:
    """What counts as confirmed where nothing was yet: the first limits, but for a ceiling of live
    trading that is above what everybody may begin with."""
    if first.daily_bought == UNBOUND or first.daily_bought <= FIRST_DAILY_BOUGHT:
        return first
    return msgspec.structs.replace(first, daily_bought=FIRST_DAILY_BOUGHT)


def raised(limits: Limits, confirmed: Limits) -> tuple[str, ...]:
    """The names of the limits that let more through than those that a person has confirmed."""
    higher = tuple(name for name in AMOUNTS if getattr(limits, name) > getattr(confirmed, name))
    wider = any(
        not set(limits.venues.get(strategy, ())) <= set(venues) or strategy not in limits.venues
        for strategy, venues in confirmed.venues.items()
    )
    looser = any(
        limits.stops.get(strategy, SCALE + 1) > within
        for strategy, within in confirmed.stops.items()
    )
    return (*higher, *(["venues"] if wider else []), *(["stops"] if looser else []))
