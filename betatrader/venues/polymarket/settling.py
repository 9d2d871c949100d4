"""Trades of ours on their way to the chain: before that the wallet does not have them. Pure."""

from typing import NamedTuple

from betatrader.model.account import Fill
from betatrader.venues.polymarket.forms import token_of
from betatrader.venues.polymarket.wire import SECOND, Trade

SETTLED = ("MINED", "CONFIRMED", "FAILED")
"""The wallet has what it is to have of such a trade."""

LONGEST_NS = 3_600 * SECOND
"""A trade that is not settled so long after its match keeps nothing from being compared."""

LATELY_NS = 60 * SECOND
"""How long after a trade is settled the venue may go on to state the balance of before it."""

KEPT = 50_000


class Unsettled(NamedTuple):
    """When a trade was matched, and our tokens in it."""

    time_ns: int
    tokens: frozenset[str]


class Settling:
    """Knows which trades are not settled, and which tokens have moved of late."""

    def __init__(self) -> None:
        self._open: dict[str, Unsettled] = {}
        self._done: dict[str, None] = {}
        self._lately: dict[str, int] = {}

    def heard(self, now_ns: int, trade: Trade) -> None:
        """The venue speaks of a trade: it may have been settled."""
        if trade.state in SETTLED:
            self._settle(now_ns, trade.id)

    def note(self, now_ns: int, trade: Trade, fills: tuple[Fill, ...]) -> None:
        """A trade has these fills of ours."""
        if trade.state not in SETTLED and trade.id not in self._done:
            tokens = frozenset(token_of(fill.instrument) for fill in fills)
            self._open[trade.id] = Unsettled(trade.time_ns or now_ns, tokens)

    def open(self, now_ns: int) -> list[Unsettled]:
        """Trades that the wallet may not have yet."""
        for trade_id, one in list(self._open.items()):
            if now_ns - one.time_ns > LONGEST_NS:
                self._settle(now_ns, trade_id)
        return list(self._open.values())

    def moving(self, now_ns: int) -> set[str]:
        """Their tokens: what is held of them is not known, nor the cash."""
        return {token for one in self.open(now_ns) for token in one.tokens}

    def lately(self, now_ns: int) -> set[str]:
        """Tokens whose balances are other ones now, or will be in a moment."""
        since_ns = now_ns - LATELY_NS
        self._lately = {token: at_ns for token, at_ns in self._lately.items() if at_ns > since_ns}
        return set(self._lately)

    def _settle(self, now_ns: int, trade_id: str) -> None:
        found = self._open.pop(trade_id, None)
        if found is not None:
            self._lately.update(dict.fromkeys(found.tokens, now_ns))
        self._done[trade_id] = None
        while len(self._done) > KEPT:
            del self._done[next(iter(self._done))]
