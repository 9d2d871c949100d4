"""Which strategy holds how much of what, and what it has earned: the account, attributed.

The sum over strategies of an instrument is always the account's position, and of cash what trading
has moved. A strategy's sale comes out of its own share first; what a stop, the operator or netting
takes comes out of anyone's, who is paid for it.
"""

import msgspec

from betatrader.model.ids import InstrumentId, StrategyId
from betatrader.model.money import proceeds

UNKNOWN = StrategyId("unknown")
"""Whose fill it is where no order of ours is known for it."""


class Holdings(msgspec.Struct):
    """Quantities by instrument and strategy; strategies that are flat are not kept."""

    shares: dict[InstrumentId, dict[StrategyId, int]] = msgspec.field(default_factory=dict)
    cash: dict[StrategyId, int] = msgspec.field(default_factory=dict)
    """What each strategy's trades have brought in (or cost, below 0), fees included."""

    def of(self, strategy: StrategyId, instrument: InstrumentId) -> int:
        """What one strategy holds."""
        found = self.shares.get(instrument)
        return found.get(strategy, 0) if found is not None else 0

    def pay(self, strategy: StrategyId, amount: int) -> None:
        """Cash that a strategy's trades brought in, or cost."""
        if amount:
            self.cash[strategy] = self.cash.get(strategy, 0) + amount

    def end(self, instrument: InstrumentId, price: int, paid: int) -> None:
        """A contract has ended and `paid` in all, at `price` a share: each gets its own."""
        found = self.shares.pop(instrument, {})
        for name, quantity in found.items():
            due = proceeds(price, quantity)
            self.pay(name, due)
            paid -= due
        for name in list(found)[-1:]:  # what rounding has left
            self.pay(name, paid)

    def settle(
        self, instrument: InstrumentId, total: int, strategy: StrategyId, cash: int = 0
    ) -> None:
        """Bring the shares to the account's new total after a fill of this strategy's order, which
        moved `cash`."""
        self.pay(strategy, cash)
        found = self.shares.setdefault(instrument, {})
        change = total - sum(found.values())
        found[strategy] = found.get(strategy, 0) + change
        if found[strategy] < 0 <= total:
            self._cover(found, strategy, cash, abs(change))
        for name in [name for name, quantity in found.items() if not quantity]:
            del found[name]
        if not found:
            del self.shares[instrument]

    def _cover(
        self, found: dict[StrategyId, int], strategy: StrategyId, cash: int, change: int
    ) -> None:
        """Take what a strategy has sold beyond its own share from the others, oldest first, and pay
        them their part of the `cash` that the whole `change` brought."""
        for name in list(found):
            if name != strategy:
                taken = max(0, min(found[name], -found[strategy]))
                found[name] -= taken
                found[strategy] += taken
                part = cash * taken // change
                self.pay(name, part)
                self.pay(strategy, -part)
