"""Markets that follow each other: found by how their names begin, as they open one after another.

The channel tells of new ones; what opened while nobody listened is asked for at Gamma, and what was
traded before a restart by its tokens.
"""

from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from betatrader.net.transport import Transport
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.rest import ANSWER_S, RefusalError, Rest, UnclearError, reading

T = TypeVar("T")
PAGE = 100
"""The newest markets at Gamma: older ones of a series have ended."""


class Named(msgspec.Struct, rename="camel"):
    """A market as Gamma lists it."""

    condition_id: str = ""
    slug: str = ""
    closed: bool = False


class Page(msgspec.Struct):
    """One page of Gamma's markets."""

    markets: list[Named] = []


class OfToken(msgspec.Struct):
    """Which market a token is of."""

    condition_id: str


class Following:
    """Looks for markets whose slug begins with one of `beginnings`."""

    def __init__(
        self, transport: Transport, gamma: str, rest: Rest, beginnings: tuple[str, ...]
    ) -> None:
        self.unplaced: set[str] = set()
        """Tokens that were traded before, and whose market is not known yet."""
        self._transport = transport
        self._gamma = gamma.rstrip("/")
        self._rest = rest
        self._beginnings = beginnings

    def wants(self, slug: str) -> bool:
        """Whether a market of this name is one of them."""
        return bool(slug) and slug.startswith(self._beginnings)

    async def look(self) -> list[str]:
        """The condition ids of those that are open, and of the tokens that were traded before."""
        if not self._beginnings:
            return []
        found: list[str] = []
        for token in sorted(self.unplaced):
            try:
                found.append(_as(OfToken, await self._rest.market_of(token)).condition_id)
            except RefusalError as error:
                if error.status != 404:
                    raise
            self.unplaced.discard(token)
        query = {"closed": "false", "limit": PAGE, "order": "startDate", "ascending": "false"}
        answer = await self._transport.request(
            "GET", f"{self._gamma}/markets/keyset?{urlencode(query)}", timeout_s=ANSWER_S
        )
        listed = _as(Page, reading(answer)).markets
        fresh = [one for one in reversed(listed) if not one.closed and self.wants(one.slug)]
        return [*found, *(one.condition_id for one in fresh)]


def _as(kind: type[T], body: bytes) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except wire.UNREADABLE as error:
        raise UnclearError(f"an answer that is no {kind.__name__}: {error}") from error
