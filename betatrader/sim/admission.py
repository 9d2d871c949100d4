"""Whether the simulated venue takes an order, and what an account has at stake as it does."""

from collections.abc import Callable

from betatrader.model.command import SubmitOrder
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE, cost
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.sim.ledger import Ledger
from betatrader.sim.pool import Pool, WorkingOrder, wakes


def refusal(
    command: SubmitOrder, pool: Pool | None, ledger: Ledger, ours: list[WorkingOrder]
) -> str:
    """Why the venue does not take this order; empty where it does. `ours`: what rests already."""
    terms = command.terms
    if pool is None or not pool.tradable:
        return "the instrument is not trading"
    if command.order in ledger.orders:
        return "duplicate client order id"
    definition = pool.definition
    if terms.quantity <= 0 or terms.quantity % definition.lot:
        return "the quantity is no multiple of the lot"
    if terms.price <= 0 or terms.price % definition.tick:
        return "the price is no multiple of the tick"
    if terms.type is OrderType.STOP and wakes(terms, pool.best(Side.BUY), pool.best(Side.SELL)):
        return "the stop would be triggered at once"
    if isinstance(definition, BinaryContract) and terms.price >= SCALE:
        return "a contract's price is below 1"
    if small := _too_small(terms, definition, pool):
        return small
    if not _covered(terms, definition, ledger, ours):
        return "insufficient balance"
    available = pool.available(terms)
    if terms.post_only and available:
        return "post-only, and it would take"
    if terms.time_in_force is TimeInForce.FOK and available < terms.quantity:
        return "fill or kill, and not all can be filled"
    return ""


def _too_small(terms: OrderTerms, definition: Instrument, pool: Pool) -> str:
    """Why an order is too small. Of pairs as Binance has it: buys and sales alike, one at any price
    by the best that stands, a stop at any price by its trigger. Of contracts as Polymarket has it:
    how many may rest, and how much is paid; a sale may be for less."""
    takes = terms.takes
    is_contract = isinstance(definition, BinaryContract)
    if terms.quantity < definition.min_quantity and not (is_contract and takes):
        return "the quantity is below the minimum"
    if is_contract and terms.side is Side.SELL:
        return ""
    price = terms.price
    if terms.type is OrderType.MARKET:
        price = pool.best(Side.SELL if terms.side is Side.BUY else Side.BUY) or price
    elif terms.type is OrderType.STOP and takes:
        price = terms.trigger
    least = definition.least_taken if takes else definition.min_notional
    if cost(price, terms.quantity) < least:
        return "the value is below the minimum"
    return ""


def watch_exposure(
    ledger: Ledger,
    terms: OrderTerms,
    ours: list[WorkingOrder],
    bid: Callable[[InstrumentId], int],
) -> None:
    """Note how much an account has at stake as it buys: what it holds at this venue's own bids,
    and all its open buys at their limits, the arriving one included."""
    stakes = {
        name: quantity * bid(name) // SCALE
        for name, quantity in ledger.positions.items()
        if quantity
    }
    buys = [(order.terms, order.remaining) for order in ours if order.terms.side is Side.BUY]
    for bought, quantity in (*buys, (terms, terms.quantity)):
        notional = cost(bought.price, quantity)
        stakes[bought.instrument] = stakes.get(bought.instrument, 0) + notional
    ledger.largest_stake = max(ledger.largest_stake, stakes[terms.instrument])
    ledger.largest_total = max(ledger.largest_total, sum(stakes.values()))
    ledger.most_positions = max(ledger.most_positions, len(stakes))


def _covered(
    terms: OrderTerms, definition: Instrument, ledger: Ledger, ours: list[WorkingOrder]
) -> bool:
    """Whether the account holds what this order and its other open orders may take."""
    same = [order for order in ours if order.terms.side is terms.side]
    if terms.side is Side.SELL:
        name = terms.instrument
        offered = sum(order.remaining for order in same if order.terms.instrument == name)
        return terms.quantity <= ledger.held(name) - offered
    bound = sum(cost(order.terms.price, order.remaining) for order in same)
    fee = definition.fees.fee(terms.price, terms.quantity, maker=False)
    return cost(terms.price, terms.quantity) + fee <= ledger.cash - bound
