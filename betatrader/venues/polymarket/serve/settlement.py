"""Trades and their way to the chain: MATCHED, MINED, CONFIRMED, or FAILED and taken back."""

from collections import deque

from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import SCALE, cost, proceeds
from betatrader.model.order import Side
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.ledger import Executed
from betatrader.venues.polymarket.serve import records
from betatrader.venues.polymarket.serve.agenda import Agenda
from betatrader.venues.polymarket.serve.records import OrderRecord, Party, TradeRecord
from betatrader.venues.polymarket.serve.sockets import Channels

KEPT, KEPT_EACH = 50_000, 10_000
"""Trades that are remembered, of all accounts and of each."""

MINED_AFTER_NS = 300_000_000
CONFIRMED_AFTER_NS = 900_000_000
TAKEN_BACK = ClientOrderId("")
"""The order of an entry that takes a failed trade back: none."""


class Settlement:
    """All trades. Of a batch of reports it makes one trade for each execution."""

    def __init__(self, exchange: SimulatedExchange, agenda: Agenda, channels: Channels) -> None:
        self.trades: dict[str, TradeRecord] = {}
        self.fail_next = 0
        """How many of the next trades fail to settle."""
        self._exchange = exchange
        self._agenda = agenda
        self._channels = channels
        self._by_account: dict[str, deque[TradeRecord]] = {}
        self._unsettled: dict[str, dict[str, TradeRecord]] = {}
        """Trades that are not on the chain yet, by account."""
        self._batch: list[tuple[OrderRecord, Fill]] = []

    def fill(self, record: OrderRecord, fill: Fill, now_ns: int) -> None:
        """One side of an execution: with the maker's just before it, it is one trade of two."""
        number = int(fill.trade_id[1:])
        party = Party(
            record.id, record.key, record.maker, record.account, fill.side, fill, record.outcome
        )
        trade = None if fill.maker else self._with_maker(record, fill, number - 1)
        if trade is not None:
            trade.taker = party
            trade.instrument, trade.outcome = fill.instrument, record.outcome
            trade.price = fill.price
        else:
            trade = self._new(record, fill, party, now_ns)
        record.trades.append(trade.id)
        self._batch.append((record, fill))

    def _with_maker(self, record: OrderRecord, fill: Fill, number: int) -> TradeRecord | None:
        """The trade whose maker is known and whose taker this is: of the same token on the other
        side, or of the other token on the same side (MINT of two buys, MERGE of two sales)."""
        trade = self.trades.get(records.trade_id(number))
        if trade is None or trade.taker.account or trade.market != record.market:
            return None
        maker = trade.maker.fill
        if maker is None or (maker.quantity, maker.time_ns) != (fill.quantity, fill.time_ns):
            return None
        across = maker.instrument != fill.instrument
        price = SCALE - maker.price if across else maker.price
        return trade if price == fill.price and (maker.side is fill.side) is across else None

    def _new(self, record: OrderRecord, fill: Fill, party: Party, now_ns: int) -> TradeRecord:
        number = int(fill.trade_id[1:])
        other = records.stranger(number, records.opposite(fill.side))
        trade = TradeRecord(
            records.trade_id(number),
            number,
            record.market,
            fill.instrument,
            record.outcome,
            fill.price,
            fill.quantity,
            now_ns,
            other if fill.maker else party,
            party if fill.maker else other,
            now_ns,
        )
        if self.fail_next:
            self.fail_next -= 1
            trade.fails = True
        self.trades[trade.id] = trade
        if len(self.trades) > KEPT:
            del self.trades[next(iter(self.trades))]
        return trade

    def close_batch(self, now_ns: int) -> list[TradeRecord]:
        """Tell of the trades of the reports since the last call, and begin to settle them."""
        names = dict.fromkeys(records.trade_id(int(fill.trade_id[1:])) for _, fill in self._batch)
        self._batch.clear()
        made = [self.trades[name] for name in names if name in self.trades]
        for trade in made:
            for account in trade.accounts:
                self._by_account.setdefault(account, deque(maxlen=KEPT_EACH)).append(trade)
                self._unsettled.setdefault(account, {})[trade.id] = trade
            self._tell(trade, now_ns)
            stages = ("RETRYING", "FAILED") if trade.fails else ("MINED", "CONFIRMED")
            self._later(trade, stages[0], now_ns + MINED_AFTER_NS)
            self._later(trade, stages[1], now_ns + CONFIRMED_AFTER_NS)
        return made

    def of(self, account: str) -> list[TradeRecord]:
        """An account's trades, newest first."""
        return list(reversed(self._by_account.get(account, ())))

    def on_chain(self, account: str, instrument: InstrumentId | None = None) -> int:
        """What an account's wallet holds of a token, or of pUSD: the ledger has a trade as it is
        matched, the wallet once it is mined."""
        ledger = self._exchange.ledgers[account]
        units = ledger.cash if instrument is None else ledger.held(instrument)
        for trade in self._unsettled.get(account, {}).values():
            for party in (trade.taker, trade.maker):
                if party.account == account and party.fill is not None:
                    cash, shares = _moved(party.fill)
                    if instrument is None:
                        units -= cash
                    elif party.fill.instrument == instrument:
                        units -= shares
        return units

    def _later(self, trade: TradeRecord, status: str, due_ns: int) -> None:
        self._agenda.at(due_ns, lambda: self._move(trade, status, due_ns))

    def _move(self, trade: TradeRecord, status: str, now_ns: int) -> None:
        trade.status, trade.updated_ns = status, now_ns
        if status in ("MINED", "FAILED"):
            for account in trade.accounts:
                self._unsettled.get(account, {}).pop(trade.id, None)
        if status == "MINED":
            trade.transaction = records.transaction(trade.number)
        if status == "FAILED":
            self._take_back(trade, now_ns)
        self._tell(trade, now_ns)

    def _tell(self, trade: TradeRecord, now_ns: int) -> None:
        for party in (trade.taker, trade.maker):
            if party.account:
                message = trade.message(party.account, party.key, now_ns)
                self._channels.tell_user(party.account, trade.market, message)

    def _take_back(self, trade: TradeRecord, now_ns: int) -> None:
        """Undo in the ledgers what a failed trade did there, to the last unit."""
        for party in (trade.taker, trade.maker):
            fill = party.fill
            if fill is None:
                continue
            paid, got = cost(fill.price, fill.quantity), proceeds(fill.price, fill.quantity)
            side = records.opposite(fill.side)
            undone = Fill(
                now_ns,
                TAKEN_BACK,
                fill.instrument,
                side,
                fill.price,
                fill.quantity,
                got - paid - fill.fee,
                fill.maker,
                fill.trade_id,
            )
            entry = Executed(undone)
            if self._exchange.keep is not None:
                self._exchange.keep(party.account, entry)
            self._exchange.ledgers[party.account].apply(entry)


def _moved(fill: Fill) -> tuple[int, int]:
    """The cash and the shares that a fill brings, negative where it takes them."""
    if fill.side is Side.BUY:
        return -cost(fill.price, fill.quantity) - fill.fee, fill.quantity - fill.kept
    return proceeds(fill.price, fill.quantity) - fill.fee, -fill.quantity
