"""Which venue a trader trades at, as its configuration says. Each adapter is loaded where it is
used, and nowhere else."""

from collections.abc import Callable

from betatrader.config import Config
from betatrader.roles.desks import RemoteVenue, Take
from betatrader.venues.link.client import LinkVenue

Made = tuple[Callable[[Take, Take], RemoteVenue], str]
"""What makes the venue, from the callables for reports and for the market; and how to mend one that
is not reached."""


def venue_of(config: Config) -> Made:
    """The remote venue of this configuration; raises UsageError where its settings cannot serve."""
    match config.paper.venue:
        case "binance":
            return _binance(config)
        case "polymarket":
            return _polymarket(config)
    host, _, port = config.paper.link.rpartition(":")
    hint = f"Start it (betatrader venue serve sim), or mend [paper] link {config.paper.link}."
    return lambda take, show: LinkVenue(host, int(port), config.paper.account, take, show), hint


def _binance(config: Config) -> Made:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.binance.venue import BinanceVenue

    hint = f"Start it (betatrader venue serve binance), or mend [binance] api {config.binance.api}."
    return lambda take, show: BinanceVenue(config.binance, LiveTransport(), take, show), hint


def _polymarket(config: Config) -> Made:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.polymarket.venue import PolymarketVenue

    settings = config.polymarket
    hint = f"Start it (betatrader venue serve polymarket), or mend [polymarket] {settings.clob}."
    return lambda take, show: PolymarketVenue(settings, LiveTransport(), take, show), hint
