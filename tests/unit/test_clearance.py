"""The glance that lets ordinary orders through says yes only where every named check does."""

from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import COIN, NO, SECOND, YES, Scene, contract, quote, terms

from betatrader.engine.checks import CHECKS
from betatrader.engine.clearance import far_from_ceilings, far_from_limits, has_ceilings, wary
from betatrader.engine.proposal import Proposal
from betatrader.model.account import Fill, Protection, VenueAccess, VenueConnection
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.instruction import Fenced, Reduce
from betatrader.model.limits import Limits, calm
from betatrader.model.market import InstrumentListed, InstrumentStatus, Quote, Resolution
from betatrader.model.money import SCALE, parse, show
from betatrader.model.order import OrderTerms, OrderType, Side

BUY, SELL = Side.BUY, Side.SELL
NAMES = st.sampled_from([COIN, YES, NO])
CENTRE = {COIN: 1000, YES: 41, NO: 59}
"""In ticks of 0.01."""


@st.composite
def orders(draw: st.DrawFn) -> OrderTerms:
    """Mostly sensible orders near the market; some on no tick or lot, or free of charge."""
    name = draw(NAMES)
    ticks = CENTRE[name] + draw(st.integers(-8, 8))
    price = draw(st.sampled_from([ticks * SCALE // 100] * 6 + [ticks * SCALE // 200, 0, SCALE]))
    lots = draw(st.integers(0, 160 if name == COIN else 3000))
    quantity = lots * SCALE // 100 + draw(st.sampled_from([0] * 8 + [1]))
    side = draw(st.sampled_from([BUY, SELL]))
    return OrderTerms(name, side, OrderType.LIMIT, price, quantity)


def hand_made(name: InstrumentId, price: str, quantity: str) -> Fill:
    """A fill of an order that we do not know."""
    order = ClientOrderId("f" * 32)
    return Fill(SECOND, order, name, BUY, parse(price), parse(quantity), 0, True, name)


def disturb(scene: Scene, kind: str) -> None:
    """Put the scene into one of the states that a check exists for."""
    match kind:
        case "reducing":
            scene.take(Reduce(0, "i", "me"))
        case "away":
            scene.take(VenueConnection(0, "SIM", False))
        case "barred":
            scene.take(VenueAccess(0, "SIM", False, "elsewhere"))
        case "unreconciled":
            scene.take(Fenced(0))
        case "armed" | "unarmed":
            scene.take(Protection(SECOND, "SIM", 2 * SECOND if kind == "armed" else 0))
        case "closed":
            scene.take(InstrumentStatus(0, COIN, False))
        case "resolved":
            scene.take(Resolution(0, YES, SCALE))
            scene.take(InstrumentStatus(0, YES, True))
        case "netting":
            scene.take(InstrumentListed(0, contract(YES, nets=True)))
            scene.take(InstrumentListed(0, contract(NO, nets=True)))
        case "stale":
            scene.take(quote("0.40", "0.42", 6.0, YES))
        case "one-sided":
            scene.take(Quote(SECOND, COIN, 999 * SCALE // 100, SCALE, 0, 0))
        case "unquoted":
            scene.take(Quote(SECOND, COIN, 0, 0, 0, 0))
        case "hedged":
            for name, price in ((YES, "0.40"), (NO, "0.58")):
                scene.take(hand_made(name, price, "20"))
        case "lost":
            scene.state.day_equity += 17 * SCALE
        case "fallen":
            scene.state.equity_high += 30 * SCALE


KINDS = (
    "reducing",
    "away",
    "barred",
    "unreconciled",
    "closed",
    "resolved",
    "netting",
    "stale",
    "one-sided",
    "unquoted",
    "lost",
)


LIMITS = Limits(open_orders=4)
TIGHT_EVENT = Limits(open_orders=4, position_event=3 * SCALE)
TIGHT_VENUE = Limits(open_orders=4, position_venue=6 * SCALE)
TIGHT_DAY = Limits(open_orders=4, daily_bought=12 * SCALE, daily_orders=4)
MICRO = Limits(open_orders=4, minimum_times=1)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(orders(), st.booleans()), max_size=6),
    st.sampled_from((*[""] * 6, *KINDS, "fallen", "armed", "unarmed", *["hedged"] * 4)),
    st.sampled_from(["100", "20", "1000"]),
    st.sampled_from([LIMITS, TIGHT_EVENT, TIGHT_VENUE, TIGHT_DAY, MICRO]),
    orders(),
)
def test_it_never_lets_through_what_a_check_would_refuse(
    before: list[tuple[OrderTerms, bool]], kind: str, cash: str, held: Limits, asked: OrderTerms
) -> None:
    scene = Scene(LIMITS, cash)
    for number, (made, filled) in enumerate(before):
        answer = scene.propose(made)
        if filled and isinstance(answer, Approved):
            scene.fill(answer, trade=f"t{number}")
    disturb(scene, kind)
    market, near = scene.state.markets[asked.instrument], wary(held)
    clear = far_from_limits(scene.state, near, market, asked)
    if clear and (not has_ceilings(held) or far_from_ceilings(scene.state, near, asked)):
        proposal = Proposal(
            scene.state, calm(held), ClientOrderId("0" * 32), StrategyId("puppet"), asked
        )
        assert [check.__name__ for check in CHECKS if check(proposal)] == []


def glance(scene: Scene, asked: OrderTerms) -> bool:
    market = scene.state.markets[asked.instrument]
    return far_from_limits(scene.state, wary(scene.engine.limits), market, asked)


def test_an_ordinary_order_is_let_through() -> None:
    scene = Scene()
    assert glance(scene, terms(BUY, "9.90", "0.6"))
    scene.hold("0.6")
    assert glance(scene, terms(BUY, "9.90", "0.3"))
    assert glance(scene, terms(SELL, "10.02", "0.3"))


def test_what_is_near_a_limit_is_looked_at_closely() -> None:
    scene = Scene()
    assert not glance(scene, terms(BUY, "9.00", "0.9"))
    assert not glance(scene, terms(SELL, "10.02", "0.3"))
    assert not glance(scene, terms(BUY, "10.02", "0.3"))
    for price in ("9.90", "9.91", "9.92"):
        assert isinstance(scene.propose(terms(BUY, price, "0.5")), Approved)
    assert not glance(scene, terms(BUY, "9.90", "0.5"))
    assert not glance(scene, terms(BUY, "9.90", "0.3"))


def test_a_contract_is_looked_at_closely_where_its_event_may_bind() -> None:
    scene = Scene(Limits(position_event=10 * SCALE))
    assert glance(scene, terms(BUY, "0.41", "5", YES))
    assert not glance(scene, terms(BUY, "0.41", "12", YES))
    scene.fill(scene.propose(terms(BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    assert glance(scene, terms(SELL, "0.41", "5", YES))
    scene.fill(scene.propose(terms(BUY, "0.60", "5", NO)), trade="t2")  # type: ignore[arg-type]
    assert not glance(scene, terms(SELL, "0.41", "5", YES)), "it uncovers the other outcome"
    scene = Scene(Limits(position_venue=10 * SCALE))
    assert glance(scene, terms(BUY, "9.90", "0.3"))
    assert not glance(scene, terms(BUY, "9.90", "0.5"))


def test_an_armed_switch_is_no_reason_to_look_closely_and_one_that_is_not_is() -> None:
    scene = Scene()
    scene.take(Protection(SECOND, "SIM", 2 * SECOND))
    assert glance(scene, terms(BUY, "9.90", "0.5"))
    scene.take(Protection(SECOND, "SIM", SECOND))
    assert not glance(scene, terms(BUY, "9.90", "0.5"))


def test_an_order_that_would_meet_our_own_is_looked_at_closely() -> None:
    scene = Scene()
    scene.hold("0.9")
    assert isinstance(scene.propose(terms(SELL, "10.01", "0.4")), Approved)
    assert not glance(scene, terms(BUY, "10.01", "0.1"))
    assert glance(scene, terms(BUY, "10.00", "0.1"))
    assert isinstance(scene.propose(terms(BUY, "10.00", "0.2")), Approved)
    assert not glance(scene, terms(SELL, "10.00", "0.1"))
    assert not glance(scene, terms(SELL, "10.01", "0.6"))
    assert not glance(scene, terms(SELL, "10.01", "0.4")), "the same is under way"


def test_calm_limits_are_four_fifths() -> None:
    tight = calm(Limits())
    assert show(tight.order_notional) == "8"
    assert (tight.open_positions, tight.open_orders) == (2, 16)
