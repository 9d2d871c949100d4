"""One instrument as the engine sees it."""

from dataclasses import dataclass, field

from betatrader.engine.book import OrderBook
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import Instrument
from betatrader.model.signal import Forecast


@dataclass(slots=True)
class Market:
    """One instrument as we see it: top of book, book, last trade, forecast, protective stop.

    A dataclass, which a snapshot holds in the same form as a Struct: fields of a Struct are set
    through its own code, and those of this one change with every quote.
    """

    definition: Instrument
    bid: int = 0
    bid_size: int = 0
    ask: int = 0
    ask_size: int = 0
    quote_id: int = 0
    """The venue's number of the update that the top of book comes from, 0 where it has none."""
    last_price: int = 0
    last_quantity: int = 0
    buyer_is_taker: bool = False
    updated_ns: int = 0
    crossed: bool = False
    """The newest top that was told is no market: the one that is shown is older."""
    tradable: bool = True
    resolved: bool = False
    payout: int = 0
    held: bool = False
    stop: int = 0
    forecast: Forecast | None = None
    book: OrderBook = field(default_factory=OrderBook)

    @property
    def id(self) -> InstrumentId:
        """The instrument's id."""
        return self.definition.id

    @property
    def mid(self) -> int:
        """Half-way between bid and ask, rounded down; 0 where a side is empty."""
        return (self.bid + self.ask) // 2 if self.bid and self.ask else 0
