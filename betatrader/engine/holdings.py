"""Which strategy holds how much of what: the account's positions, attributed.

The sum over strategies of an instrument is always the account's position. A strategy's sale comes
out of its own share first; what a stop, the operator or netting takes comes out of anyone's.
"""

import msgspec

from betatrader.model.ids import InstrumentId, StrategyId

UNKNOWN = StrategyId("unknown")
"""Whose fill it is where no order of ours is known for it."""


class Holdings(msgspec.Struct):
    """Quantities by instrument and strategy; strategies that are flat are not kept."""

    shares: dict[InstrumentId, dict[StrategyId, int]] = msgspec.field(default_factory=dict)

    def of(self, strategy: StrategyId, instrument: InstrumentId) -> int:
        """What one strategy holds."""
        found = self.shares.get(instrument)
        return found.get(strategy, 0) if found is not None else 0

    def settle(self, instrument: InstrumentId, total: int, strategy: StrategyId) -> None:
        """Bring the shares to the account's new total after a fill of this strategy's order."""
        found = self.shares.setdefault(instrument, {})
        change = total - sum(found.values())
        found[strategy] = found.get(strategy, 0) + change
        if found[strategy] < 0 <= total:
            self._cover(found, strategy)
        for name in [name for name, quantity in found.items() if not quantity]:
            del found[name]
        if not found:
            del self.shares[instrument]

    def _cover(self, found: dict[StrategyId, int], strategy: StrategyId) -> None:
        """Take what a strategy has sold beyond its own share from the others, oldest first."""
        for name in list(found):
            if name != strategy:
                taken = max(0, min(found[name], -found[strategy]))
                found[name] -= taken
                found[strategy] += taken
