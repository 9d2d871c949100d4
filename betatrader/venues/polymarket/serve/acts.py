"""What is done to the simulated Polymarket on request (`venues.stage`)."""

from collections.abc import Mapping

from betatrader.model.market import InstrumentStatus
from betatrader.model.money import parse
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.stage import Act

Given = Mapping[str, str]


def of(server: PolymarketServer) -> dict[str, Act]:
    """What can be done, by its name."""
    state = server.state

    def key(given: Given) -> None:
        """All API keys may do this from now on: `trade`, only `sell`, `read`, or `nothing`."""
        may = given["may"]
        if may not in ("trade", "sell", "read", "nothing"):
            raise ValueError(may)
        state.troubles.closed_only = state.keys.addresses() if may == "sell" else set()
        state.keys.allow(trade=may in ("trade", "sell"), alive=may != "nothing")
        if may == "nothing":
            server.close()

    def status(given: Given) -> None:
        """Open or close the market `condition`."""
        for token in state.listings.markets[given["condition"]].tokens:
            server.play(InstrumentStatus(clock.now_ns(), token.id, given["open"] == "true"))

    def mode(given: Given) -> None:
        """The venue is `open`, takes cancels alone (`cancel-only`), or no order (`disabled`), or
        only such as rest (`post-only`); `restart` is an act of its own."""
        wanted, troubles = given["mode"], state.troubles
        if wanted not in ("open", "cancel-only", "disabled", "post-only"):
            raise ValueError(wanted)
        troubles.cancel_only = wanted == "cancel-only"
        troubles.disabled = wanted == "disabled"
        lasts_ns = int(float(given.get("for_s", "120")) * 1e9) if wanted == "post-only" else 0
        troubles.restart(clock.now_ns(), 0, lasts_ns)

    def restart(given: Given) -> None:
        """The engine is down for `down_s`, then takes only orders that rest for `post_only_s`:
        what rested stays, every socket is cut."""
        down_s, after_s = given.get("down_s", "90"), given.get("post_only_s", "120")
        server.restart(int(float(down_s) * 1e9), int(float(after_s) * 1e9))

    def rules(given: Given) -> None:
        """Another `minimum` size, or another `tick` that nobody is told of: a venue's pages may
        lag behind what it enforces."""
        if "minimum" in given:
            state.listings.least_size = parse(given["minimum"])
        if "tick" in given:
            state.listings.enforced_tick = parse(given["tick"])

    def deposit(given: Given) -> None:
        """Cash comes in to all accounts, or goes out where it is negative."""
        for address in sorted(state.keys.addresses()):
            state.exchange.deposit(parse(given["amount"]), address)

    def region(given: Given) -> None:
        """The address that clients come from is `served`, or orders are refused to it."""
        state.troubles.blocked_region = given["served"] != "true"

    return {
        "key": key,
        "region": region,
        "status": status,
        "rules": rules,
        "deposit": deposit,
        "cut": lambda _: server.close(),
        "mode": mode,
        "restart": restart,
    }
