"""Which venues a trader trades at, as its configuration says. Each adapter is loaded where it is
used, and nowhere else."""

from betatrader.config import Config
from betatrader.config.live import traded_venues
from betatrader.roles.desks import Choice
from betatrader.venues.egress import NOBODY_ASKED, Egress, of_binance, of_polymarket
from betatrader.venues.link.client import LinkVenue


def venues_of(config: Config) -> list[Choice]:
    """The remote venues of this configuration, none where the trader holds its own; raises
    UsageError where settings cannot serve."""
    if config.mode == "live":
        return [named(config, name) for name in traded_venues(config)]
    if config.paper.venues:
        return [named(config, name) for name in config.paper.venues]
    return [_linked(config)] if config.paper.link else []


def _linked(config: Config) -> Choice:
    host, _, port = config.paper.link.rpartition(":")
    return Choice(
        lambda take, show: LinkVenue(host, int(port), config.paper.account, take, show),
        f"Start it (betatrader venue serve sim), or mend [paper] link {config.paper.link}.",
        _everywhere,
        _nothing,
    )


def named(config: Config, name: str) -> Choice:
    """The venue of this name, at the addresses of its table."""
    return {"binance": _binance, "polymarket": _polymarket}[name](config)


async def _everywhere() -> Egress:
    """The reference venue asks nobody where they are."""
    return NOBODY_ASKED


async def _nothing() -> None:
    """It keeps one connection of its own."""


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
