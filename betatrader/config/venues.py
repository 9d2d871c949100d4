"""The real venues: [binance] and [polymarket]. Addresses are settings: simulators are reached so.

Keys come from the environment (`BETATRADER_BINANCE__SECRET`), never from the command line.
"""

from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from betatrader.config.reader import Section
from betatrader.model.secret import Secret

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Binance(Section, frozen=True, kw_only=True):
    """[binance]: spot. `secret` is an HMAC secret, or an Ed25519 key in PEM (PKCS#8)."""

    symbols: tuple[str, ...] = ()
    """Pairs as the venue writes them: BTCUSDT. None: the venue is not traded."""
    rest: str = "https://api.binance.com"
    stream: str = "wss://stream.binance.com:9443"
    api: str = "wss://ws-api.binance.com:443/ws-api/v3"
    key: Secret = Secret()
    secret: Secret = Secret()
    recv_window_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 2_000
    """An order that arrives later than this is refused by the venue: the longest time that it can
    be under way."""
    unseen_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 10_000
    """For so long after it arrived, an order may be at the venue and in none of its answers: the
    engine is waited for that long, and what is asked for lags behind it."""


Tier = Literal["standard", "copper", "bronze", "silver", "gold", "platinum", "diamond", "elite"]


class Polymarket(Section, frozen=True, kw_only=True):
    """[polymarket]: the CLOB of exchange version 2, on Polygon."""

    markets: tuple[str, ...] = ()
    """Condition ids, 0x and 64 hexadecimal digits. None, and none to follow: the venue is not
    traded."""
    follow: tuple[str, ...] = ()
    """Beginnings of market names (slugs): markets whose names begin so are traded as they open."""
    clob: str = "https://clob.polymarket.com"
    gamma: str = "https://gamma-api.polymarket.com"
    data: str = "https://data-api.polymarket.com"
    market_socket: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    user_socket: str = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    relayer: str = "https://relayer-v2.polymarket.com"
    """Sends a wallet's transactions, and pays for them."""
    geoblock: str = "https://polymarket.com/api/geoblock"
    """Where the venue says whether it serves this machine's address."""
    chain: int = 137
    private_key: Secret = Secret()
    """The signing account's key: 0x and 64 hexadecimal digits."""
    signature_type: Literal[0, 1, 2, 3] = 0
    """0 an account of its own, 1 a proxy wallet, 2 a Safe, 3 a deposit wallet."""
    funder: str = ""
    """The wallet that holds the money, for types 1 to 3."""
    api_key: Secret = Secret()
    api_secret: Secret = Secret()
    api_passphrase: Secret = Secret()
    relayer_key: Secret = Secret()
    """An API key of the relayer. Without one nothing is redeemed or merged here."""
    relayer_address: str = ""
    """The account that the relayer key is of. None: the signing account."""
    rate_tier: Tier = "standard"
    """The account's, by its volume: what the venue lets it place and cancel a second."""
    socket_tokens: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 500
    """What one market socket carries, two tokens a market: the venue stops telling beyond it,
    without a word."""
    heartbeat_seconds: Annotated[Decimal, msgspec.Meta(extra={"least": 1, "most": 60})] = Decimal(5)
    """How often the dead-man switch is kept from falling."""
    heartbeat_deadline_seconds: Annotated[
        Decimal, msgspec.Meta(extra={"least": 2, "most": 600})
    ] = Decimal(10)
    """After so long without a heartbeat the venue cancels what rests: no order leaves then."""
    rest_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    """A belt besides the heartbeat: an order that rests is sent with an expiry (GTD) so many
    seconds ahead, and the venue ends it then, whatever has become of us. 0: it rests until it is
    cancelled. A quote that has ended is made again, at the end of the queue."""
    least_taken_usd: Annotated[Decimal, msgspec.Meta(extra={"least": 0})] = Decimal(1)
    """The venue refuses a buy that takes at once and is worth less; it tells this nowhere."""
    redeem: bool = True
    """Redeem what has ended, with a relayer key and a wallet (types 1 to 3)."""
    merge: bool = False
    """Merge pairs of YES and NO into cash as soon as both are held and not offered."""


def too_late(venue: Polymarket) -> str:
    """Why heartbeats that are sent so rarely do not keep the switch from falling, or nothing."""
    if venue.heartbeat_seconds < venue.heartbeat_deadline_seconds:
        return ""
    return (
        f"expected less than heartbeat_deadline_seconds ({venue.heartbeat_deadline_seconds}), "
        f"found {venue.heartbeat_seconds}"
    )


def elsewhere(venue: Binance | Polymarket) -> list[str]:
    """The fields of a venue's table that hold an address which is not on this machine."""
    fields = [field.name for field in msgspec.structs.fields(venue)]
    values = ((name, getattr(venue, name)) for name in fields)
    return [
        name
        for name, value in values
        if isinstance(value, str) and "://" in value and urlsplit(value).hostname not in LOOPBACK
    ]
