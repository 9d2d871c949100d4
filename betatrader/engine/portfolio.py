"""Fills to positions, cost, cash, fees, realised and unrealised profit and loss; all exact."""

import msgspec

from betatrader.model.account import Fill
from betatrader.model.ids import InstrumentId
from betatrader.model.money import SCALE, cost, proceeds
from betatrader.model.order import Side


class Position(msgspec.Struct, gc=False):
    """A holding. `cost` is what it was bought for, without fees; the average price is derived."""

    quantity: int = 0
    cost: int = 0
    realised: int = 0
    fees: int = 0

    @property
    def average_price(self) -> int:
        """Cost over quantity, rounded down; 0 where flat."""
        return self.cost * SCALE // self.quantity if self.quantity else 0


class Portfolio(msgspec.Struct):
    """Cash and positions. `cash + sum(position cost) == deposits + realised - fees` always.

    Cash lies in accounts, by name ("" where there is but one): `cash` is their sum.
    """

    cash: int = 0
    accounts: dict[str, int] = msgspec.field(default_factory=dict)
    deposits: int = 0
    positions: dict[InstrumentId, Position] = msgspec.field(default_factory=dict)
    realised: int = 0
    fees: int = 0

    def deposit(self, amount: int, account: str = "") -> None:
        """Book cash that came from (or went) outside, apart from profit and loss."""
        self._pay(account, amount)
        self.deposits += amount

    def _pay(self, account: str, amount: int) -> None:
        self.cash += amount
        self.accounts[account] = self.accounts.get(account, 0) + amount

    def position(self, instrument: InstrumentId) -> Position:
        """The position of an instrument, made flat where there was none."""
        position = self.positions.get(instrument)
        if position is None:
            position = self.positions[instrument] = Position()
        return position

    def quantity(self, instrument: InstrumentId) -> int:
        """The quantity held, 0 where flat."""
        position = self.positions.get(instrument)
        return position.quantity if position is not None else 0

    def take_fill(self, fill: Fill, complement: InstrumentId | None, account: str = "") -> None:
        """Book one fill; `complement` is given where the venue pairs YES with NO by itself."""
        position = self.position(fill.instrument)
        if fill.side is Side.BUY:
            paid = cost(fill.price, fill.quantity)
            self._pay(account, -paid - fill.fee)
            self._move(position, fill.quantity - fill.kept, paid)
        else:
            got = proceeds(fill.price, fill.quantity)
            self._pay(account, got - fill.fee)
            self._move(position, -fill.quantity, -got)
        position.fees += fill.fee
        self.fees += fill.fee
        if complement is not None:
            self._pay(account, self._net(position, self.position(complement)))

    def take_fee(self, instrument: InstrumentId, quantity: int) -> None:
        """A fee was taken out of what is held of this: its share of the cost is the fee."""
        position = self.positions.get(instrument)
        if position is None or position.quantity <= 0:
            return
        taken = min(quantity, position.quantity)
        value = position.cost * taken // position.quantity
        position.quantity -= taken
        position.cost -= value
        position.fees += value
        self.fees += value

    def settle(self, instrument: InstrumentId, payout: int, account: str = "") -> None:
        """A binary contract has ended: every share pays `payout`."""
        position = self.positions.get(instrument)
        if position is None or position.quantity == 0:
            return
        paid = proceeds(payout, position.quantity)
        self._pay(account, paid)
        self._move(position, -position.quantity, -paid)

    def merge(
        self, instrument: InstrumentId, complement: InstrumentId, quantity: int, account: str = ""
    ) -> None:
        """So many pairs of YES and NO became cash at 1 each."""
        one, other = self.position(instrument), self.position(complement)
        self._pay(account, self._pair(one, other, quantity))

    def transfer(self, instrument: InstrumentId, quantity: int, price: int) -> int:
        """Book shares that came or went outside, apart from profit and loss; returns their value.

        What comes costs `price` a share; what goes takes its share of the cost with it.
        """
        position = self.position(instrument)
        if quantity > 0 or not position.quantity:
            value = price * quantity // SCALE
        else:
            value = position.cost * quantity // position.quantity
        position.quantity += quantity
        position.cost += value
        self.deposits += value
        return value

    def open_positions(self) -> list[tuple[InstrumentId, Position]]:
        """The positions that are not flat."""
        return [(name, held) for name, held in self.positions.items() if held.quantity]

    def forget(self, instrument: InstrumentId) -> None:
        """Drop a flat position; what it gained stands in the totals."""
        self.positions.pop(instrument, None)

    def _net(self, one: Position, other: Position) -> int:
        """Pair what is held of both; returns what the pairs pay."""
        return self._pair(one, other, min(one.quantity, other.quantity))

    def _pair(self, one: Position, other: Position, pairs: int) -> int:
        if pairs <= 0:
            return 0
        for position, share in ((one, pairs - pairs // 2), (other, pairs // 2)):
            self._move(position, -pairs, -share)
        return pairs

    def _move(self, position: Position, quantity: int, paid: int) -> None:
        """Change a position by a signed quantity that cost `paid` (negative: brought in)."""
        before = position.quantity
        position.quantity += quantity
        if before == 0 or quantity == 0 or (before > 0) == (quantity > 0):
            position.cost += paid
            return
        closing = min(abs(before), abs(quantity))
        released = position.cost * closing // abs(before)
        closing_paid = paid * closing // abs(quantity)
        gain = -closing_paid - released
        position.cost += paid - closing_paid - released
        position.realised += gain
        self.realised += gain
