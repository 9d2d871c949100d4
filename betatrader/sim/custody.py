"""What accounts hold at the simulated venue: their ledgers, and what is paid into them."""

from collections.abc import Callable

from betatrader.model.ids import InstrumentId
from betatrader.sim.ledger import Deposited, Entry, Ledger, Merged, Settled

US = "us"
"""Whose account it is where there is but one."""


class Custody:
    """The accounts of one venue, by owner."""

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {US: Ledger()}
        self.keep: Callable[[str, Entry], None] | None = None
        """Where a ledger's entries are kept: called with owner and entry, before it is answered."""

    def deposit(self, amount: int, owner: str = US) -> None:
        """Put cash into an account."""
        self.book(Deposited(amount), owner)

    def settle(self, instrument: InstrumentId, payout: int) -> None:
        """Pay out whoever holds a contract that has ended."""
        for owner in self.ledgers:
            self.pay(instrument, payout, owner)

    def pay(self, instrument: InstrumentId, payout: int, owner: str) -> None:
        """Pay out one account."""
        if self.ledgers.setdefault(owner, Ledger()).held(instrument):
            self.book(Settled(instrument, payout), owner)

    def merge(
        self, instrument: InstrumentId, complement: InstrumentId, quantity: int, owner: str
    ) -> bool:
        """Pay 1 for each of so many pairs; False, and nothing done, where fewer are held."""
        ledger = self.ledgers.setdefault(owner, Ledger())
        if not 0 < quantity <= min(ledger.held(instrument), ledger.held(complement)):
            return False
        self.book(Merged(instrument, complement, quantity), owner)
        return True

    def book(self, entry: Entry, owner: str) -> None:
        """Write to the ledger, on disk first where it has one: before anything is answered."""
        if self.keep is not None:
            self.keep(owner, entry)
        self.ledgers.setdefault(owner, Ledger()).apply(entry)
