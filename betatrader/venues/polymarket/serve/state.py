"""The parts of the venue that its requests share, and the passing of time among them."""

import asyncio
from collections.abc import Collection

from betatrader.net.transport import Request
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.sim.ledger import Ledger
from betatrader.venues.polymarket.serve import signatures
from betatrader.venues.polymarket.serve.agenda import Agenda
from betatrader.venues.polymarket.serve.answers import RefusedRequestError
from betatrader.venues.polymarket.serve.authentication import ApiKey, Keys
from betatrader.venues.polymarket.serve.books import Books
from betatrader.venues.polymarket.serve.desk import Desk
from betatrader.venues.polymarket.serve.limits import Limits
from betatrader.venues.polymarket.serve.listings import Listings
from betatrader.venues.polymarket.serve.news import News
from betatrader.venues.polymarket.serve.sockets import Channels
from betatrader.venues.polymarket.serve.troubles import Troubles

LEAST_SIZE = 500_000_000
"""Shares that a resting order must have at least: 5."""


class Rules:
    """What differs from one venue to another. `cash` is what a new account is given."""

    def __init__(
        self,
        cash: int,
        *,
        least_size: int = LEAST_SIZE,
        neg_risk: Collection[str] = (),
        taker_delay_ns: int = 0,
        enforce_limits: bool = True,
        auto_redeem: bool = True,
    ) -> None:
        self.cash = cash
        self.least_size = least_size
        self.neg_risk = neg_risk
        self.taker_delay_ns = taker_delay_ns
        self.enforce_limits = enforce_limits
        self.auto_redeem = auto_redeem
        """Whether all accounts have let the venue redeem for them what has ended."""


class State:
    """Everything that is behind the requests."""

    def __init__(self, exchange: SimulatedExchange, rules: Rules, faults: FaultyLink) -> None:
        self.exchange = exchange
        exchange.pays_at_end = rules.auto_redeem
        exchange.pairs_across = True
        self.rules = rules
        self.faults = faults
        self.agenda = Agenda()
        self.keys = Keys()
        self.limits = Limits(enforced=rules.enforce_limits)
        self.troubles = Troubles()
        self.channels = Channels(self.keys, self.agenda, faults)
        self.listings = Listings(exchange, rules.least_size, rules.neg_risk)
        self.books = Books(exchange, self.listings)
        self.news = News(self.listings, self.books, self.channels)
        self.desk = Desk(exchange, self.agenda, self.channels, self.news)
        self.wallets: dict[str, str] = {}
        """Whose account a wallet's address belongs to."""
        self.wake = asyncio.Event()

    @property
    def next_due_ns(self) -> int:
        """When something is due next."""
        return min(self.exchange.next_due_ns, self.agenda.next_due_ns)

    def advance(self, now_ns: int) -> None:
        """Let happen what is due, in the order in which it is, and wake who waits for more."""
        while (due := self.next_due_ns) <= now_ns:
            if self.agenda.next_due_ns <= due:
                self.agenda.run_next()
            else:
                self.desk.take(self.exchange.deliver(due), due)
        self.wake.set()

    def open_account(self, address: str) -> None:
        """Give a new account its cash."""
        ledger = self.exchange.ledgers.get(address)
        if ledger is None or not ledger.deposits:
            self.exchange.deposit(self.rules.cash, address)
        self.wallets.setdefault(address, address)

    def ledger(self, address: str) -> Ledger:
        """The books of the account that a wallet belongs to; empty ones where it is unknown."""
        try:
            wallet = signatures.canonical(address)
        except ValueError:
            raise RefusedRequestError(400, f"invalid address: {address}") from None
        return self.exchange.ledgers.get(self.wallets.get(wallet, wallet)) or Ledger()

    def account(self, request: Request) -> ApiKey:
        """Whose request it is, by its L2 headers."""
        key = self.keys.account(request, clock.now_ns())
        self.open_account(key.address)
        return key

    def trader(self, request: Request) -> ApiKey:
        """The same, where the key may trade."""
        key = self.account(request)
        if key.reads_only:
            raise RefusedRequestError(401, "Unauthorized/Invalid api key")
        return key
