"""Redeems what has ended and merges pairs, over the venue's relayer: one transaction at a time.

Each is signed for the wallet's next number, so that however often it is sent it happens once. Where
an answer stays away, that number is asked for before anything is sent again, and balances before
anything new is made. The books need no word of it: an ended share counts as the cash that it pays,
and pairs that became cash are found by the balances (`venues/reconcile.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import anyio
import msgspec
import structlog

from betatrader.config.venues import Polymarket
from betatrader.model.errors import UsageError
from betatrader.net.transport import NotSentError, Transport
from betatrader.ops import clock
from betatrader.venues.polymarket import calldata, relay
from betatrader.venues.polymarket.amounts import BASE, units
from betatrader.venues.polymarket.calldata import Call
from betatrader.venues.polymarket.eip712 import Exchange, exchange_of
from betatrader.venues.polymarket.forms import VENUE, instrument_id
from betatrader.venues.polymarket.listing import Listing
from betatrader.venues.polymarket.relayer import DONE, FAILED, Relayer
from betatrader.venues.polymarket.rest import RefusalError, Rest
from betatrader.venues.polymarket.sign import EOA, Signer

LOOK_S = 20.0
SOON_S = 2.0
"""How soon what is under way is asked for again."""

DEADLINE_S = 600
"""How long a deposit wallet takes a signed transaction."""

UNCLEAR_S = 10.0
"""How long after an unclear answer the wallet's number is asked for."""

REST_S = 60.0
"""After something went wrong, and for the venue's own balances to follow."""

TRIES = 3
LEAST = 1_000_000
"""The fewest pairs that are worth a transaction, in base units: one share of each."""


OF_ITS_OWN = (
    "signature_type 0 is an account of its own, which sends and pays for its transactions itself"
)
NO_KEY = "no relayer_key is set"
BY_HAND = (
    "Redeem at polymarket.com (Portfolio), or trade from a proxy, Safe or deposit wallet: "
    "signature_type 1 to 3, funder, and BETATRADER_POLYMARKET__RELAYER_KEY."
)


class Plan(NamedTuple):
    """What is to be sent for one market."""

    condition: str
    tokens: tuple[str, str]
    calls: list[Call]
    metadata: str


class Pending:
    """A transaction that was sent. `id` is empty where no answer named it."""

    def __init__(self, plan: Plan, nonce: int, body: bytes, now_s: float) -> None:
        self.plan = plan
        self.nonce = nonce
        self.body = body
        self.began_s = self.sent_s = now_s
        self.id = ""
        self.tries = 0


class Redeemer:
    """`relayer` is None where there is none for this account: then it only says what to redeem by
    hand, and `reason` why.

    `leads` says whether this process is the one that may send, `busy` whether orders are under
    way, `held` what a token's balance was at the last look (None: never asked), `moving` of which
    tokens trades are not settled, `moved` is called with tokens whose balances are other ones now.
    """

    def __init__(
        self,
        rest: Rest,
        relayer: Relayer | None,
        signer: Signer,
        listing: Listing,
        *,
        redeem: bool,
        merge: bool,
        reason: str = "",
    ) -> None:
        self.leads: Callable[[], bool] = lambda: False
        self.busy: Callable[[], bool] = lambda: False
        self.held: Callable[[str], int | None] = lambda _token: None
        self.moving: Callable[[], set[str]] = set
        self.moved: Callable[[tuple[str, ...]], None] = lambda _tokens: None
        self._rest = rest
        self._relayer = relayer
        self._signer = signer
        self._listing = listing
        self._redeem = redeem
        self._merge = merge
        self._pending: Pending | None = None
        self._done: set[str] = set()
        self._reason = reason
        self._waiting: dict[str, tuple[tuple[str, str], str]] = {}
        self._rests_until_s = 0.0
        self._log = structlog.get_logger()

    async def keep(self) -> None:
        """Until cancelled: one step after another."""
        while True:
            await anyio.sleep(SOON_S if self._pending is not None else LOOK_S)
            if not self.leads() or clock.boot_s() < self._rests_until_s:
                continue
            try:
                await self.look()
            except (OSError, TimeoutError, ValueError) as error:
                self._rests_until_s = clock.boot_s() + UNCLEAR_S
                self._log.warning("not_redeemed", venue=VENUE, error=str(error))

    async def look(self) -> None:
        """Ask after what is under way, else begin the next."""
        relayer = self._relayer
        if self._pending is not None and relayer is not None:
            await self._ask_after(self._pending, relayer)
            return
        for condition in list(self._listing.markets):
            plan = await self._plan(condition)
            if plan is None:
                continue
            if relayer is None:
                self._done.add(condition)
                text = f"{plan.metadata} by hand at polymarket.com (Portfolio): {self._reason}"
                self._waiting[condition] = plan.tokens, text
                continue
            await self._begin(plan, relayer)
            return

    @property
    def cautions(self) -> tuple[tuple[str, str, str], ...]:
        """That what has ended is left to a person, and how to mend that."""
        if self._relayer is not None or not self._redeem:
            return ()
        return (("redeem", f"what has ended is not redeemed here: {self._reason}", BY_HAND),)

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What waits for a person to redeem it, for as long as it is held: a sentence each."""
        waiting = self._waiting.values()
        return tuple(text for tokens, text in waiting if any(map(self.held, tokens)))

    # What there is to do.

    async def _plan(self, condition: str) -> Plan | None:
        tokens = self._listing.markets[condition]
        if self.moving() & set(tokens):
            return None  # the wallet does not show yet what is held, and what is sold already
        paid = [self._listing.payouts.get(instrument_id(token)) for token in tokens]
        if None not in paid:
            return await self._redemption(condition, tokens, [pay or 0 for pay in paid])
        if self._merge and self._relayer is not None and not any(paid):
            return await self._merging(condition, tokens)
        return None

    async def _redemption(
        self, condition: str, tokens: tuple[str, str], payouts: list[int]
    ) -> Plan | None:
        if not self._redeem or condition in self._done:
            return None
        balances = (await self._rest.balance(tokens[0]), await self._rest.balance(tokens[1]))
        if not any(held and pays for held, pays in zip(balances, payouts, strict=True)):
            self._done.add(condition)
            return None
        calls = calldata.redeem(condition, self._exchange(tokens[0]), balances)
        return Plan(condition, tokens, calls, f"Redeem positions for condition {condition}")

    async def _merging(self, condition: str, tokens: tuple[str, str]) -> Plan | None:
        """What is held of both, less what is offered: the venue would cancel that."""
        if self.busy() or any((self.held(token) or 0) < LEAST for token in tokens):
            return None
        free = {token: await self._rest.balance(token) for token in tokens}
        for order in await self._rest.open_orders():
            if order.asset_id in free and order.side == "SELL":
                left = units(order.original_size) - units(order.size_matched)
                free[order.asset_id] -= -(-left // BASE)
        amount = min(free.values())
        if amount < LEAST or self.busy():
            return None
        call = calldata.merge(condition, self._exchange(tokens[0]), amount)
        return Plan(
            condition, tokens, [call], f"Merge {amount} positions for condition {condition}"
        )

    def _exchange(self, token: str) -> Exchange:
        neg_risk = self._listing.rules[token].neg_risk
        return exchange_of(int(token), self._signer.chain, neg_risk=neg_risk)

    # One transaction.

    async def _begin(self, plan: Plan, relayer: Relayer) -> None:
        nonce, relay_address = await relayer.params()
        made = relay.body(
            self._signer,
            plan.calls,
            nonce,
            plan.metadata,
            relay=relay_address,
            deadline_s=self._rest.clock.now_s() + DEADLINE_S,
        )
        body = msgspec.json.encode(made)
        self._pending = Pending(plan, nonce, body, clock.boot_s())
        await self._send(self._pending, relayer)

    async def _send(self, pending: Pending, relayer: Relayer) -> None:
        if not self.leads():  # not any more: another may do it
            self._pending = pending if pending.tries else None
            return
        pending.tries += 1
        pending.sent_s = clock.boot_s()
        try:
            pending.id = await relayer.submit(pending.body)
        except (NotSentError, RefusalError) as error:
            self._over(pending, f"refused: {error}")
        except (OSError, TimeoutError) as error:
            self._log.warning("redeeming_unclear", what=pending.plan.metadata, error=str(error))

    async def _ask_after(self, pending: Pending, relayer: Relayer) -> None:
        if pending.id:
            await self._look_at(pending, relayer)
            return
        if clock.boot_s() - pending.sent_s < UNCLEAR_S:
            return
        nonce, _ = await relayer.params()
        if nonce != pending.nonce:
            self._over(pending, "no answer came, and its number is used: the balances tell")
        elif pending.tries >= TRIES:
            self._over(pending, f"no answer came {TRIES} times")
        else:
            await self._send(pending, relayer)

    async def _look_at(self, pending: Pending, relayer: Relayer) -> None:
        found = await relayer.transaction(pending.id)
        if found.state == DONE:
            self._pending = None
            self._rests_until_s = clock.boot_s() + UNCLEAR_S
            for token in ("", *pending.plan.tokens):
                await self._rest.refresh_balance(token)
            self.moved(pending.plan.tokens)
            self._log.info("redeemed", venue=VENUE, what=pending.plan.metadata)
        elif found.state in FAILED:
            self._over(pending, found.error_msg or found.state)
        elif clock.boot_s() - pending.began_s > DEADLINE_S:
            self._over(pending, f"still {found.state} after {DEADLINE_S} s")

    def _over(self, pending: Pending, reason: str) -> None:
        """It is asked after no more. A later one is made of balances that are asked for then, and
        where this one may still happen it has the same number, so that only one of them can."""
        self._pending = None
        self._rests_until_s = clock.boot_s() + REST_S
        self.moved(pending.plan.tokens)
        self._log.error("not_redeemed", venue=VENUE, what=pending.plan.metadata, error=reason)


def redeemer_of(
    settings: Polymarket, transport: Transport, rest: Rest, signer: Signer, listing: Listing
) -> Redeemer:
    """One as the settings say; raises UsageError where they ask for what the account cannot."""
    wallet = signer.signature_type != EOA
    if settings.merge and not (settings.relayer_key and wallet):
        raise UsageError(
            "[polymarket] merge needs relayer_key, and a wallet: signature_type 1 to 3"
        )
    if settings.relayer_key and not wallet:
        raise UsageError(
            f"[polymarket] relayer_key serves wallets alone: {OF_ITS_OWN}\n"
            "Leave it out and redeem at polymarket.com (Portfolio), or trade from a proxy, Safe or "
            "deposit wallet: signature_type 1 to 3, and funder."
        )
    relayer = None
    if settings.relayer_key:
        address, key = settings.relayer, settings.relayer_key
        relayer = Relayer(transport, address, signer, key, settings.relayer_address)
    return Redeemer(
        rest,
        relayer,
        signer,
        listing,
        redeem=settings.redeem,
        merge=settings.merge,
        reason=NO_KEY if wallet else OF_ITS_OWN,
    )
