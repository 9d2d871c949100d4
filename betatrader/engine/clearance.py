"""One glance that lets an ordinary order through: every check holds, and by a wide margin.

`far_from_limits` is a fast and cautious reading of all of `engine.checks` at once. True means that
each check would pass, even against limits of 80%; False means nothing: then the checks are asked
one by one, by name. A test holds the two together over random states.
"""

from msgspec.structs import replace

from betatrader.engine.market import Market
from betatrader.engine.state import State
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract, Spot
from betatrader.model.limits import UNBOUND, Limits, calm
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, Side

BUY = Side.BUY
UNCOUNTED = UNBOUND // 2
"""Sizes are not held to the venue's minimum, even by 80% of that limit."""


def wary(limits: Limits) -> Limits:
    """80% of each limit; and all venues together held to what one may hold, so that one sum does
    for both."""
    near = calm(limits)
    return replace(near, total_notional=min(near.total_notional, near.position_venue))


def far_from_limits(state: State, near: Limits, market: Market, terms: OrderTerms) -> bool:
    """Whether an order that rests on no forecast passes every check, held to `wary` limits."""
    definition, name = market.definition, terms.instrument
    price, quantity = terms.price, terms.quantity
    if (
        not state.may_add_risk  # ACTIVE, and some account open
        or (state.shut and not state.is_open(name))
        or (state.armed_until and not _protected(state, terms))
        or not market.tradable  # what has resolved is not
        or price <= 0
        or quantity <= 0
        or quantity < definition.min_quantity
        or price % definition.tick
        or quantity % definition.lot
        or quantity > near.order_quantity
        or state.now_ns - market.updated_ns > near.stale_data_ns
        or (type(definition) is BinaryContract and _is_particular(definition, terms))
        or (market.stop and _awaits_stop(market, terms))
    ):
        return False
    orders = state.orders
    if orders.submitted + orders.cancels - state.rate_from >= near.orders_per_minute:
        return False
    if terms.side is not BUY:
        return _sale(state, market, terms)
    worth, best = price * quantity // SCALE + 1, market.ask or market.bid
    if price > best or worth > near.order_notional or worth <= definition.min_notional:
        return False
    here = spent = worth
    kinds = 1  # as if each order, too, were of an instrument of its own
    if orders.open:
        kinds += len(orders.open)
        for order in orders.open.values():
            theirs = order.terms
            if theirs == terms:
                return False
            if theirs.side is BUY:
                other = theirs.price * theirs.quantity // SCALE + 1
                spent += other
                if theirs.instrument == name:
                    here += other
            elif theirs.instrument == name and price >= theirs.price:
                return False
    if kinds > near.open_orders:
        return False
    portfolio = state.portfolio
    equity = portfolio.cash
    spent *= 2  # no fee is above the notional, so that twice that covers both
    if spent > (state.cash_at(state.account_of(name)) if state.several else equity):
        return False
    for held, position in portfolio.positions.items():
        if position.quantity:
            value = state.mark(held) * position.quantity // SCALE
            equity += value
            spent += value + 1
            kinds += 1
            if held == name:
                here += value + 1
    if kinds > near.open_positions and not market.held and _too_many(state, near, name):
        return False
    return (
        here <= near.position_notional
        and spent <= near.total_notional
        and (spent <= near.position_event or type(definition) is not BinaryContract)
        and state.day_equity - equity <= near.daily_loss
        and (
            equity >= state.equity_high
            or (state.equity_high - equity) * SCALE <= near.drawdown * state.equity_high
        )
    )


def _is_particular(contract: BinaryContract, terms: OrderTerms) -> bool:
    """Whether rules of contracts alone may bind."""
    return contract.nets or terms.price >= SCALE or (contract.min_taken > 0 and terms.takes)


def _too_many(state: State, near: Limits, name: InstrumentId) -> bool:
    """Whether more instruments are held or bought than may be, with this one."""
    names = {n for n, position in state.portfolio.positions.items() if position.quantity}
    names.add(name)
    names.update(o.terms.instrument for o in state.orders.open.values() if o.terms.side is BUY)
    return len(names) > near.open_positions


def has_ceilings(limits: Limits) -> bool:
    """Whether any of those of live trading is set: where none is, nobody need ask."""
    return min(limits.daily_bought, limits.daily_orders, limits.minimum_times) < UNCOUNTED


def far_from_ceilings(state: State, near: Limits, terms: OrderTerms) -> bool:
    """Whether an order passes those too; yesterday's counts only make it less likely."""
    if terms.side is not BUY:
        return True
    today, spent = state.orders.today, terms.price * terms.quantity // SCALE + 1
    for order in state.orders.open.values():
        if order.terms.side is BUY:
            spent += order.terms.price * order.terms.quantity // SCALE + 1
    return (
        today.bought + spent <= near.daily_bought
        and today.buys < near.daily_orders
        and near.minimum_times >= UNCOUNTED
    )


def _protected(state: State, terms: OrderTerms) -> bool:
    """The venue has no dead-man switch, or it is armed."""
    until = state.armed_until.get(venue_of(terms.instrument))
    return until is None or until > state.now_ns


def _awaits_stop(market: Market, terms: OrderTerms) -> bool:
    """Whether a buy may have to wait for a stop that the venue is to keep."""
    definition = market.definition
    return terms.side is BUY and type(definition) is Spot and definition.stops


def _sale(state: State, market: Market, terms: OrderTerms) -> bool:
    """A sale of what is held and free reduces: few limits bind it."""
    name, price, definition = terms.instrument, terms.price, market.definition
    if type(definition) is BinaryContract and state.portfolio.quantity(definition.complement):
        return False  # a sale of one outcome uncovers the other
    if price < (market.bid or market.ask or price + 1):
        return False
    free = state.portfolio.quantity(name) - terms.quantity
    orders = state.orders.open
    for order in orders.values():
        theirs = order.terms
        if theirs.instrument == name:
            if theirs == terms:
                return False
            if theirs.side is not BUY:
                free -= theirs.quantity
            elif price <= theirs.price:
                return False
    return free >= 0
