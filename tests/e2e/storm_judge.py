"""Judges a storm by the venue's own ledger, the same at every venue: what the last leader's home
has as its books is compared with it, order by order, and every order there with who may have sent
it."""

from pathlib import Path

import msgspec

from betatrader.engine.engine import Engine
from betatrader.model.ids import ClientOrderId
from betatrader.roles.recovering import recover
from betatrader.roles.replaying import engine_of
from betatrader.sim import invariants
from betatrader.sim.ledger import Ledger
from betatrader.store import journal
from betatrader.store.journal_reader import Reader
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.sign import Signer


def books(home: Path) -> Engine:
    """The engine as a home's journal leaves it."""
    root = home / "journal"
    newest = max(folder for folder in root.iterdir() if journal.is_run(folder))
    head = Reader(newest).head
    engine = engine_of(head)
    assert recover(root, engine, head.setup.strategies) is not None
    return engine


def wrong(venue: str, engine: Engine, ledger: Ledger, signer: Signer | None) -> list[str]:
    """What is not as it must be, by name; empty where all is. `signer` at a venue that knows an
    order by its hash alone. A protocol has ids of its own for trades."""
    names = _names(engine, ledger, signer)
    ours = _under(names, ledger)
    verdicts = invariants.check(
        engine.state, engine.limits, ours, resting=set(ours.working), same_ids=venue == "sim"
    )
    known = [name for name in names.values() if _is_known(name, engine)]
    epochs = [int(name[8:20], 16) for name in known]
    verdicts |= {
        "every_order_is_one_of_ours": len(known) == len(names),
        "no_order_was_sent_twice": len({*names.values()}) == len(names),
        "one_writer_at_a_time": epochs == sorted(epochs),
        "every_fill_is_of_an_order": {fill.order for fill in ours.fills} <= {*ours.orders},
    }
    return [name for name, holds in verdicts.items() if not holds]


def _names(
    engine: Engine, ledger: Ledger, signer: Signer | None
) -> dict[ClientOrderId, ClientOrderId]:
    """Our id of each order of the venue's; a hash that is none of our orders stays as it is."""
    if signer is None:
        return {order: ClientOrderId(order.partition("#")[0]) for order in ledger.orders}
    ids, orders = Ids(signer, 0), engine.state.orders
    ids.remember([*orders.open.values(), *orders.closed.values(), *orders.denied.values()])
    return {order: ids.ours(order) if ids.is_known(order) else order for order in ledger.orders}


def _is_known(name: str, engine: Engine) -> bool:
    return engine.state.orders.find(ClientOrderId(name)) is not None


def _under(names: dict[ClientOrderId, ClientOrderId], ledger: Ledger) -> Ledger:
    """The ledger with our ids of its orders."""
    replace = msgspec.structs.replace
    return replace(
        ledger,
        orders={names[order]: terms for order, terms in ledger.orders.items()},
        working={names[order]: left for order, left in ledger.working.items()},
        fills=[replace(f, order=names.get(f.order, f.order)) for f in ledger.fills],
    )
