"""What an account and its key may do, as the venue tells it over REST: steps of `setup`.

Each step says what was found, and how to mend it where it is not ok.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE, show

if TYPE_CHECKING:
    from betatrader.venues.binance.rest import Rest as BinanceRest
    from betatrader.venues.polymarket.rest import Rest as PolymarketRest

BASE = SCALE // 1_000_000
"""One of Polymarket's base units in ours."""

WALLETS = ("an account of its own", "a proxy wallet", "a Safe", "a deposit wallet")
"""By `signature_type`."""

NEG_RISK_ADAPTER = "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296"
MOST_MARKETS = 20
"""Markets whose contracts are looked at: all are of two or three contracts."""

APPROVE = "Approve them: a first trade at polymarket.com does. Then run this again."
ENDS_ORDERS = (
    "Run `betatrader doctor --venue polymarket`, which places nothing; or go on where they may go."
)


class Step(NamedTuple):
    """One step: ok, warn or fail; what was found, and the remedy where it is not ok."""

    name: str
    verdict: str
    found: str
    remedy: str = ""


Tell = Callable[[Step], None]
Asks = Callable[[Any, Tell], Awaitable[bool]]


def asked_of(name: str) -> Asks:
    """What a venue is asked about an account before anything is connected: from its REST half;
    tells of each step, and returns whether one may go on."""
    asked: dict[str, Asks] = {"binance": _binance, "polymarket": _polymarket}
    return asked[name]


async def _binance(rest: "BinanceRest", tell: Tell) -> bool:
    from betatrader.venues.binance.listing import fault_of
    from betatrader.venues.binance.orders import KEY_CODES
    from betatrader.venues.binance.rest import RefusalError
    from betatrader.venues.binance.venue import KEY_REMEDY

    try:
        rights = await rest.key_rights()
    except RefusalError as error:
        if error.code in KEY_CODES:
            text = f"refused by the venue: {error.text} ({error.code})"
            tell(Step("api key", "fail", text, KEY_REMEDY))
            return False
        return _untold(rest, error, tell)
    except (OSError, TimeoutError) as error:
        return _untold(rest, error, tell)
    tell(Step("api key", "ok", "the venue takes it, and its signature"))
    fault = fault_of(rights)
    if fault:
        tell(Step("rights", "fail", *fault))
        return False
    tell(Step("rights", "ok", "it may trade, and neither withdraw nor transfer"))
    return True


def _untold(rest: "BinanceRest", error: Exception, tell: Tell) -> bool:
    if not rest.tells_rights:
        tell(Step("rights", "ok", "a venue for play money tells none"))
        return True
    remedy = "Nothing is bought until the venue tells them. Run this again in a while."
    tell(Step("rights", "fail", f"they are not told: {error}", remedy))
    return False


async def _polymarket(rest: "PolymarketRest", tell: Tell) -> bool:
    from betatrader.venues.polymarket.venue import KEY_REMEDY

    is_set = rest.keys is not None
    try:
        if not is_set:
            await rest.key_of_account()
        closed = await rest.closed_only()
    except (OSError, TimeoutError) as error:
        tell(Step("api key", "fail", str(error) or "no answer", KEY_REMEDY))
        return False
    made = "the one that is set" if is_set else "made of private_key, or found again by it"
    tell(Step("api key", "ok", f"{made}; the venue takes it"))
    if closed:
        text = "the account is in closed only mode: it may only sell"
        tell(Step("rights", "fail", text, "polymarket.com tells why: mend that there."))
        return False
    text = "it may order. The private key moves whatever the wallet holds"
    tell(Step("rights", "ok", text))
    try:
        return await _wallet(rest, tell)
    except (OSError, TimeoutError) as error:
        tell(Step("wallet", "fail", str(error) or "no answer", "Run this again in a while."))
        return False


async def _wallet(rest: "PolymarketRest", tell: Tell) -> bool:
    """The kind of wallet that the money is in: the venue finds each kind's by the account's key,
    and says what it holds. It does not tell its address."""
    from betatrader.venues.polymarket.rest import RefusalError

    ours, maker = rest.signer.signature_type, rest.signer.maker
    await rest.refresh_balance()
    held: dict[int, int] = {}
    for kind in range(len(WALLETS)):
        try:
            held[kind] = units((await rest.holding(kind)).balance)
        except RefusalError:
            held[kind] = 0  # this account has no such wallet
    said = f"type {ours}, {WALLETS[ours]}: {maker}"
    richest = max(held, key=lambda kind: (held[kind], kind == ours))
    if held[ours] or not held[richest]:
        tell(Step("wallet", "ok", said))
        return True
    text = f"{said} holds nothing; type {richest}, {WALLETS[richest]}, holds ${show(held[richest])}"
    remedy = f"Set signature_type = {richest}, and " + (
        "funder to that wallet's address (polymarket.com shows it in the profile)."
        if richest
        else "leave funder out."
    )
    tell(Step("wallet", "fail", text, remedy))
    return False


async def resting(rest: "PolymarketRest", tell: Tell) -> None:
    """Whether an order that is placed and taken back costs others: it takes a heartbeat, and the
    venue cancels all of this API key where that ends."""
    try:
        found = len(await rest.open_orders())
    except (OSError, TimeoutError) as error:
        tell(Step("heartbeat", "warn", f"what rests is not told: {error}", ENDS_ORDERS))
        return
    if found:
        text = f"{found} orders of this account rest: the venue cancels all some 10 s after this"
        tell(Step("heartbeat", "warn", text, ENDS_ORDERS))
    else:
        tell(Step("heartbeat", "ok", "nothing rests that the venue would cancel as it ends"))


async def allowances(rest: "PolymarketRest", listed: Iterable[Instrument], tell: Tell) -> bool:
    """Whether the contracts that settle these markets may take what the wallet holds."""
    try:
        lacking, short = await _lacking(rest, listed)
    except (OSError, TimeoutError) as error:
        tell(Step("allowances", "fail", str(error) or "no answer", "Run this again in a while."))
        return False
    if lacking:
        text = f"what the wallet holds may not be taken: {'; '.join(lacking)}"
        tell(Step("allowances", "fail", text, APPROVE))
    elif short:
        tell(Step("allowances", "warn", f"less than what is held: {'; '.join(short)}", APPROVE))
    else:
        tell(Step("allowances", "ok", "the venue's contracts may take what the wallet holds"))
    return not lacking


async def _lacking(
    rest: "PolymarketRest", listed: Iterable[Instrument]
) -> tuple[list[str], list[str]]:
    """Which contracts may take nothing of the cash or of the shares; and which not all cash."""
    from betatrader.venues.polymarket.eip712 import NEG_RISK, exchange_of
    from betatrader.venues.polymarket.forms import token_of

    kind = rest.signer.signature_type
    of_market = {one.event: one for one in listed if isinstance(one, BinaryContract)}
    by_contract: dict[str, str] = {}
    for one in list(of_market.values())[:MOST_MARKETS]:
        token = token_of(one.id)
        neg_risk = await rest.neg_risk(token)
        exchange = exchange_of(int(token), rest.signer.chain, neg_risk=neg_risk)
        by_contract.setdefault(exchange.address, token)
        if exchange is NEG_RISK:
            by_contract.setdefault(NEG_RISK_ADAPTER, token)
    held = await rest.holding(kind)
    lacking, short = [], []
    for contract, token in by_contract.items():
        may = _allowed(held.allowances, contract) * BASE
        if not may:
            lacking.append(f"pUSD by {contract}")
        elif may < units(held.balance):
            short.append(f"${show(may)} by {contract}")
        await rest.refresh_balance(token)
        if not _allowed((await rest.holding(kind, token)).allowances, contract):
            lacking.append(f"shares by {contract}")
    return lacking, short


def _allowed(stated: dict[str, str], contract: str) -> int:
    """How much a contract may take, in base units; nothing where the venue does not name it."""
    found = {name.lower(): text for name, text in stated.items()}.get(contract.lower(), "0")
    return int(found) if found.isdecimal() else 0


def units(text: str) -> int:
    """A balance in base units as ours; raises ConnectionError where it is no whole number."""
    if not text.isdecimal():
        raise ConnectionError(f"the venue says that {text[:40]!r} is held, which is no number")
    return int(text) * BASE
