"""Which venue a trader trades at, as its configuration says. Each adapter is loaded where it is
used, and nowhere else."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from betatrader.config import Config
from betatrader.roles.desks import RemoteVenue, Take
from betatrader.venues.egress import Egress, of_binance, of_polymarket
from betatrader.venues.link.client import LinkVenue


class Choice(NamedTuple):
    """A remote venue that has not been made yet."""

    make: Callable[[Take, Take], RemoteVenue]
    """From the callables for reports and for the market."""
    hint: str
    """How to mend one that is not reached."""
    egress: Callable[[], Awaitable[Egress | None]]
    """Whether it serves this machine's address; None where that is not known."""


def venue_of(config: Config) -> Choice:
    """The remote venue of this configuration; raises UsageError where its settings cannot serve."""
    match config.paper.venue:
        case "binance":
            return _binance(config)
        case "polymarket":
            return _polymarket(config)
    host, _, port = config.paper.link.rpartition(":")
    return Choice(
        lambda take, show: LinkVenue(host, int(port), config.paper.account, take, show),
        f"Start it (betatrader venue serve sim), or mend [paper] link {config.paper.link}.",
        _anywhere,
    )


async def _anywhere() -> None:
    """The reference venue asks nobody where they are."""


def _binance(config: Config) -> Choice:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.binance.venue import BinanceVenue

    settings, transport = config.binance, LiveTransport()
    return Choice(
        lambda take, show: BinanceVenue(settings, transport, take, show),
        f"Start it (betatrader venue serve binance), or mend [binance] api {settings.api}.",
        lambda: of_binance(transport, settings.rest),
    )


def _polymarket(config: Config) -> Choice:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.polymarket.venue import PolymarketVenue

    settings, transport = config.polymarket, LiveTransport()
    return Choice(
        lambda take, show: PolymarketVenue(settings, transport, take, show),
        f"Start it (betatrader venue serve polymarket), or mend [polymarket] clob {settings.clob}.",
        lambda: of_polymarket(transport, settings.geoblock),
    )
