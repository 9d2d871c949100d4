"""Our account as the venue states it, over REST: what rests, what became of orders, trades,
balances.

What has ended counts as the cash that it pays: the venue pays when somebody redeems it.
"""

from collections.abc import Awaitable, Callable

import anyio

from betatrader.model.account import Fill, VenueAccount, VenueOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import proceeds
from betatrader.model.order import OrderState
from betatrader.ops import clock
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.account import Accounts
from betatrader.venues.polymarket.amounts import BASE
from betatrader.venues.polymarket.forms import instrument_id
from betatrader.venues.polymarket.frames import Frames
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.limits import NOTICED_S
from betatrader.venues.polymarket.listing import Listing
from betatrader.venues.polymarket.rest import Rest, UnreadableError

MARGIN_S = 120
"""Trades are asked for from so long before the last look: they may come late into the list."""

FIRST_MARGIN_S = 600
"""The same for the first look, which goes back to what our journal heard last."""

AT_ONCE = 8
"""Questions under way together."""

TOKENS_A_LOOK = 10
"""Balances of tokens that are asked for in turn, beside those that are held or have moved."""


class Statement:
    """Asks for the account. What a look has learned is kept for the next."""

    def __init__(self, rest: Rest, ids: Ids, accounts: Accounts, listing: Listing) -> None:
        self._rest = rest
        self._ids = ids
        self._accounts = accounts
        self._listing = listing
        self._balances: dict[str, int] = {}
        self._foreign: list[str] = []
        self.heard_from_ns: Callable[[], int] = lambda: 0
        """Since when the channel is open, in our time."""
        self._worked: dict[ClientOrderId, int] = {}
        """Orders that were working at the last look, and when that was."""
        self._frames = Frames("account")
        self._unread: list[str] = []
        self._looked_s = 0

    def begin_anew(self) -> None:
        """The next look asks for all trades since the first order that is known."""
        self._looked_s = 0

    def held(self, token: str) -> int | None:
        """A token's balance at the last look, in base units of 10^-6; None where it had none."""
        return self._balances.get(token)

    def moving(self) -> set[str]:
        """Tokens of trades that are on their way to the chain: the wallet may not have them yet,
        nor their cash."""
        return self._accounts.settling.moving(clock.now_ns())

    @property
    def unread(self) -> tuple[str, ...]:
        """What the last look has left out, since it cannot be read: a sentence each."""
        return tuple(dict.fromkeys(self._unread))

    async def look(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """The account now; raises OSError or TimeoutError where the venue does not answer."""
        began_s = self._rest.clock.now_s()
        self._unread.clear()
        found: dict[ClientOrderId, VenueOrder] = {}
        cash: list[int] = []
        trades: list[wire.Trade] = []

        async def resting() -> None:
            self._foreign.clear()
            for one in await self._rest.open_orders(self._odd):
                if one.owner == self._accounts.key:
                    known = self._known(one)
                    if known is not None:
                        found[known.order] = known
                else:
                    text = f"{one.side} {one.original_size} {one.asset_id} at {one.price}"
                    self._foreign.append(f"{text} ({one.id})")

        async def collateral() -> None:
            cash.append(await self._rest.balance())

        async def traded() -> None:
            trades.extend(await self._rest.trades(self._trades_from_s(), self._odd))

        moved = set(self._accounts.traded)
        moving = self.moving() | self._accounts.settling.lately(clock.now_ns())
        await together([resting, traded])
        fills = self._fills(trades)
        missing = [order for order in orders if order not in found]
        tokens = self._tokens(moved | moving | self._accounts.traded)
        await together(
            [
                collateral,
                *(self._balance_of(token) for token in tokens),
                *(self._ended(order, found) for order in missing),
            ]
        )
        self._accounts.traded -= moved
        self._looked_s = began_s
        self._note_untold(trades, found)
        return self._stated(cash[0] * BASE, found, fills)

    def _note_untold(
        self, trades: list[wire.Trade], found: dict[ClientOrderId, VenueOrder]
    ) -> None:
        """What has happened while the channel was open, and it has not told."""
        now_ns, now_s, since_ns = clock.now_ns(), clock.boot_s(), self.heard_from_ns()
        venue_ns = since_ns + round((self._rest.clock.skew_s + NOTICED_S) * wire.SECOND)
        for trade in trades:
            if trade.time_ns > venue_ns:
                self._accounts.missed_trade(now_s, trade)
        for order, there in found.items():
            ended = there.state in (OrderState.CANCELED, OrderState.EXPIRED)
            if ended and self._worked.get(order, 0) > since_ns:
                self._accounts.missed_end(now_s, order)
        working = [o for o, there in found.items() if there.state is OrderState.ACCEPTED]
        self._worked = dict.fromkeys(working, now_ns)

    def _stated(
        self, cash: int, orders: dict[ClientOrderId, VenueOrder], fills: tuple[Fill, ...]
    ) -> VenueAccount:
        payouts, positions = self._listing.payouts, dict[InstrumentId, int]()
        for token, base in self._balances.items():
            name, quantity = instrument_id(token), base * BASE
            if name in payouts:
                cash += proceeds(payouts[name], quantity)
            elif quantity:
                positions[name] = quantity
        return VenueAccount(
            cash,
            positions,
            orders,
            fills,
            dict(payouts),
            covers=tuple(instrument_id(token) for token in self._balances),
            foreign=tuple(self._foreign),
            moving=tuple(instrument_id(token) for token in sorted(self.moving())),
        )

    def _odd(self, what: str, error: Exception) -> None:
        """A row that cannot be read is left out, for a person to look at: without the others no
        start would ever end. What it has moved is found in the balances."""
        self._frames.odd("malformed", f"{what}: {error}")
        self._unread.append(f"a row of the account cannot be read and is left out: {what}")

    def _known(self, one: wire.OpenOrder) -> VenueOrder | None:
        try:
            return self._accounts.known(one)
        except ValueError as error:
            self._odd(f"order {one.id}", error)
            return self._accounts.unread(one.id)

    def _fills(self, trades: list[wire.Trade]) -> tuple[Fill, ...]:
        now_ns, found = clock.now_ns(), list[Fill]()
        for trade in sorted(trades, key=lambda one: one.time_ns):
            try:
                found += self._accounts.fills(now_ns, trade)
            except ValueError as error:
                self._odd(f"trade {trade.id}", error)
        return tuple(found)

    async def _order(self, their_id: str) -> VenueOrder | None:
        try:
            one = await self._rest.order(their_id)
        except UnreadableError as error:
            self._odd(f"order {their_id}", error)
            return self._accounts.unread(their_id)
        return self._known(one) if one is not None else None

    def _trades_from_s(self) -> int:
        if self._looked_s:
            unsettled = self._accounts.settling.open(clock.now_ns())
            matched_s = [one.time_ns // wire.SECOND - 1 for one in unsettled]
            return min([self._looked_s - MARGIN_S, *matched_s])
        first_ns = self._ids.heard_ns or self._ids.oldest_ns
        return max(0, first_ns // wire.SECOND - FIRST_MARGIN_S)

    def _tokens(self, moved: set[str]) -> list[str]:
        """Those that are held, or moved, or were never asked for; and some of the others."""
        paying = [name.rpartition(".")[0] for name in self._listing.payouts]
        every = dict.fromkeys([*self._listing.tokens, *paying])
        for token in [token for token in self._balances if token not in every]:
            del self._balances[token]
        due = [t for t in every if t in moved or self._balances.get(t, 1)]
        others = [t for t in self._balances if t in every and t not in due]
        return due + others[:TOKENS_A_LOOK]

    def _balance_of(self, token: str) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            balance = await self._rest.balance(token)
            self._balances.pop(token, None)  # to the end: the others come next in turn
            self._balances[token] = balance

        return ask

    def _ended(
        self, order: ClientOrderId, found: dict[ClientOrderId, VenueOrder]
    ) -> Callable[[], Awaitable[None]]:
        """What became of an order that does not rest; one that the venue does not know is left
        out."""

        async def ask() -> None:
            for their_id in self._ids.theirs(order):
                known = await self._order(their_id)
                if known is not None:
                    found[order] = known
                    return

        return ask


async def together(questions: list[Callable[[], Awaitable[None]]]) -> None:
    """Ask all of them, several at once; raises the first error as it is."""
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def ask(question: Callable[[], Awaitable[None]]) -> None:
        async with limiter:
            await question()

    try:
        async with anyio.create_task_group() as group:
            for question in questions:
                group.start_soon(ask, question)
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from None
