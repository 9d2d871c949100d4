"""Whether a venue serves the address that this machine's requests come from.

A venue's word is asked for, and obeyed: there is no way around it here.
"""

from typing import NamedTuple

import msgspec

from betatrader.net.transport import Answer, Transport

ASK_S = 5.0
FORBIDDEN, UNAVAILABLE_FOR_LEGAL_REASONS = 403, 451


class Egress(NamedTuple):
    """The venue's answer: `blocked` says that it takes no new orders from here."""

    blocked: bool
    told: str
    address: str = ""
    place: str = ""
    """Its country and region; like the address as the venue sees it, "" where it does not say."""


NOBODY_ASKED = Egress(False, "a simulated venue serves every address")
"""Of what is no venue of others."""


class _Geoblock(msgspec.Struct):
    blocked: bool
    country: str = ""
    region: str = ""
    ip: str = ""


_decode = msgspec.json.Decoder(_Geoblock).decode


async def of_polymarket(transport: Transport, address: str) -> Egress | None:
    """What its geo-block page says, and a page that is kept from us says that we are blocked; None
    where it gives no answer that can be read. Raises nothing."""
    answer = await _asked(transport, address)
    if answer is not None and answer.status in (FORBIDDEN, UNAVAILABLE_FOR_LEGAL_REASONS):
        return Egress(True, f"Polymarket's geo-block page is kept from us (HTTP {answer.status})")
    if answer is None or answer.status != 200:
        return None
    try:
        found = _decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return None
    place = " ".join(part for part in (found.country, found.region) if part)
    where = f"{found.ip} {place}".strip()
    return Egress(found.blocked, f"Polymarket sees this machine at {where}", found.ip, place)


async def of_binance(transport: Transport, rest: str) -> Egress | None:
    """Binance answers 451 to an address that it does not serve; None where it gives no answer."""
    answer = await _asked(transport, f"{rest}/api/v3/ping")
    if answer is None:
        return None
    if answer.status == UNAVAILABLE_FOR_LEGAL_REASONS:
        return Egress(True, "Binance does not serve this address (HTTP 451)")
    return Egress(False, "Binance answers this address") if answer.status == 200 else None


async def _asked(transport: Transport, url: str) -> Answer | None:
    try:
        return await transport.request("GET", url, timeout_s=ASK_S)
    except (OSError, TimeoutError):
        return None
