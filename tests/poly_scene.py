"""A small market as Polymarket's server needs one: two tokens of one condition, made by hand."""

import msgspec

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract, BinaryFees
from betatrader.model.market import BookSnapshot, InstrumentListed, PublicTrade, Quote
from betatrader.model.money import SCALE, parse
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules

YES = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
NO = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
CONDITION = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1"
YES_ID, NO_ID = InstrumentId(f"{YES}.POLYMARKET"), InstrumentId(f"{NO}.POLYMARKET")
CASH = 1_000 * SCALE
PRIVATE = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OTHER = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"


def contract(token: str = YES, *, tick: str = "0.01") -> BinaryContract:
    """One token of the market; the venue nets nothing by itself."""
    yes = token == YES
    return BinaryContract(
        YES_ID if yes else NO_ID,
        CONDITION,
        "Yes" if yes else "No",
        NO_ID if yes else YES_ID,
        4_000_000_000_000_000_000,
        "a coin that was tossed",
        parse(tick),
        parse("0.01"),
        0,
        BinaryFees(0, parse("0.04")),
        nets=False,
    )


def levels(*pairs: str) -> tuple[tuple[int, int], ...]:
    """Levels from `price x size`."""
    return tuple((parse(p), parse(s)) for p, _, s in (pair.partition("x") for pair in pairs))


def market(now_ns: int) -> list:
    """Both tokens, each with a book, a quote that agrees with it, and a trade."""
    yes_bids, yes_asks = levels("0.50x30", "0.40x100"), levels("0.52x25", "0.60x100")
    no_bids, no_asks = levels("0.48x25", "0.40x100"), levels("0.50x30", "0.60x100")
    return [
        InstrumentListed(now_ns, contract(YES)),
        InstrumentListed(now_ns, contract(NO)),
        BookSnapshot(now_ns, YES_ID, yes_bids, yes_asks, 1),
        BookSnapshot(now_ns, NO_ID, no_bids, no_asks, 1),
        Quote(now_ns, YES_ID, *yes_bids[0], *yes_asks[0], 1),
        PublicTrade(now_ns, YES_ID, parse("0.51"), parse("5"), buyer_is_taker=True),
    ]


def server(
    rules: Rules | None = None, faults: Faults | None = None, latency_ns: int = 0
) -> PolymarketServer:
    """The venue before an exchange without latency, unless told otherwise."""
    exchange = SimulatedExchange(latency_ns)
    link = FaultyLink(faults or Faults(), 1)
    return PolymarketServer(exchange, rules or Rules(CASH), link)


class Heard:
    """One client's end of a WebSocket, in memory."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.closed = False

    def send(self, text: bytes) -> None:
        self.texts.append(text)

    def close(self) -> None:
        self.closed = True

    def messages(self, kind: str = "") -> list[dict]:
        """What was heard, of one kind where one is named."""
        heard: list[dict] = []
        for text in self.texts:
            if text == b"PONG":
                continue
            one = msgspec.json.decode(text)
            heard += one if isinstance(one, list) else [one]
        return [one for one in heard if not kind or one["event_type"] == kind]
