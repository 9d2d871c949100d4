"""Which venue a trader trades at, as its configuration says. Each adapter is loaded where it is
used, and nowhere else."""

from betatrader.config import Config
from betatrader.config.live import traded_venues
from betatrader.roles.desks import Choice
from betatrader.venues.egress import of_binance, of_polymarket
from betatrader.venues.link.client import LinkVenue


def venue_of(config: Config) -> Choice:
    """The remote venue of this configuration; raises UsageError where its settings cannot serve."""
    if config.mode == "live":
        return named(config, traded_venues(config)[0])
    if config.paper.venue:
        return named(config, config.paper.venue)
    host, _, port = config.paper.link.rpartition(":")
    return Choice(
        lambda take, show: LinkVenue(host, int(port), config.paper.account, take, show),
        f"Start it (betatrader venue serve sim), or mend [paper] link {config.paper.link}.",
        _nothing,
        _nothing,
    )


def named(config: Config, name: str) -> Choice:
    """The venue of this name, at the addresses of its table."""
    return {"binance": _binance, "polymarket": _polymarket}[name](config)


async def _nothing() -> None:
    """The reference venue asks nobody where they are, and keeps one connection of its own."""


def _binance(config: Config) -> Choice:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.binance.venue import BinanceVenue

    settings, transport = config.binance, LiveTransport()
    return Choice(
        lambda take, show: BinanceVenue(settings, transport, take, show),
        f"Start it (betatrader venue serve binance), or mend [binance] api {settings.api}.",
        lambda: of_binance(transport, settings.rest),
        transport.aclose,
    )


def _polymarket(config: Config) -> Choice:
    from betatrader.net.live import LiveTransport
    from betatrader.venues.polymarket.venue import PolymarketVenue

    settings, transport = config.polymarket, LiveTransport()
    return Choice(
        lambda take, show: PolymarketVenue(settings, transport, take, show),
        f"Start it (betatrader venue serve polymarket), or mend [polymarket] clob {settings.clob}.",
        lambda: of_polymarket(transport, settings.geoblock),
        transport.aclose,
    )
