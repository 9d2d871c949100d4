"""What is done to the simulated Binance on request (`venues.stage`)."""

from collections.abc import Mapping

import msgspec

from betatrader.model.market import InstrumentListed, InstrumentStatus, PublicTrade
from betatrader.model.money import parse
from betatrader.ops import clock
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.stage import Act

Given = Mapping[str, str]


def of(server: BinanceServer) -> dict[str, Act]:
    """What can be done, by its name."""

    def key(given: Given) -> None:
        """All keys may do this from now on: `trade`, `read`, `withdraw`, or `nothing` at all."""
        may = given["may"]
        if may not in ("trade", "read", "withdraw", "nothing"):
            raise ValueError(may)
        trade, withdraw, alive = may in ("trade", "withdraw"), may == "withdraw", may != "nothing"
        server.keys.allow(trade=trade, withdraw=withdraw, alive=alive)
        for session in [] if alive else list(server.sessions):
            session.revoked()

    def status(given: Given) -> None:
        """Open or close the pair `symbol`."""
        spot, _ = server.market.pool(given["symbol"])
        is_open = given["open"] == "true"
        server.exchange.on_market(InstrumentStatus(clock.now_ns(), spot.id, is_open))

    def mode(given: Given) -> None:
        """All pairs are `open`, or take cancels alone (`cancel-only`)."""
        wanted = given["mode"]
        if wanted not in ("open", "cancel-only"):
            raise ValueError(wanted)
        server.trading.cancel_only = wanted == "cancel-only"

    def rules(given: Given) -> None:
        """Another `tick`, `lot` or `minimum` for the pair `symbol`, in force at once."""
        spot, _ = server.market.pool(given["symbol"])
        names = {"tick": "tick", "lot": "lot", "minimum": "min_notional"}
        changed = {names[n]: parse(v) for n, v in given.items() if n in names}
        spot = msgspec.structs.replace(spot, **changed)
        server.exchange.on_market(InstrumentListed(clock.now_ns(), spot))

    def deposit(given: Given) -> None:
        """Cash comes in to all accounts, or goes out where it is negative."""
        for owner in sorted({account.owner for account in server.keys.all()}):
            server.exchange.deposit(parse(given["amount"]), owner)

    def trade(given: Given) -> None:
        """Others trade the least of the pair `symbol` at `price`: stops go by the last price."""
        spot, _ = server.market.pool(given["symbol"])
        server.play(PublicTrade(clock.now_ns(), spot.id, parse(given["price"]), spot.lot, False))

    return {
        "key": key,
        "status": status,
        "mode": mode,
        "trade": trade,
        "rules": rules,
        "deposit": deposit,
        **_of_connections(server),
    }


def _of_connections(server: BinanceServer) -> dict[str, Act]:
    """What becomes of clients' connections, and of what they are told."""

    def freeze(given: Given) -> None:
        """The changes of the book of `symbol` are told no more, its best bid and ask are: until a
        client subscribes again, or with `stays` whatever it does; `stays=false` ends that."""
        symbol, stays = given["symbol"], given.get("stays", "")
        server.market.frozen.discard(symbol)
        if stays == "true":
            server.market.frozen.add(symbol)
        for subscriber in list(server.market.subscribers) if stays != "false" else ():
            subscriber.freeze(symbol)

    def region(given: Given) -> None:
        """The address that clients come from is `served`, or nothing is answered to it."""
        server.troubles = server.troubles._replace(elsewhere=given["served"] != "true")
        if server.troubles.elsewhere:
            server.cut_all()

    def unsubscribe(_: Given) -> None:
        """Every session loses its reports, and hears nothing of it."""
        for session in list(server.sessions):
            session.forget()

    def shutdown(given: Given) -> None:
        """Say `serverShutdown`, and end the connections of now `after_s` later: with `restart` the
        whole venue restarts then, and what rested is cancelled."""
        server.shut_down(float(given["after_s"]), restarts=given.get("restart") == "true")

    return {
        "region": region,
        "freeze": freeze,
        "unsubscribe": unsubscribe,
        "shutdown": shutdown,
        "cut": lambda _: server.cut_all(),
        "restart": lambda _: server.restart(),
    }
