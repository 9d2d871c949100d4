"""Numbers are exact, fees round up, and a book keeps its best in every order of changes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from betatrader.engine.book import OrderBook
from betatrader.model.instrument import BinaryFees, ProportionalFees
from betatrader.model.money import SCALE, cost, floor, parse, proceeds, show, show_usd

LEVELS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=12)


@given(st.integers(-(10**17), 10**17))
def test_what_is_shown_parses_back(units: int) -> None:
    assert parse(show(units)) == units
    assert Decimal(show(units)) == Decimal(units) / SCALE


@pytest.mark.parametrize("text", ["", "x", "1e5", "1.234567891", "--1", "½", "1 "])
def test_what_is_no_exact_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_what_a_venue_states_finer_is_floored() -> None:
    assert floor("0.123456789") == 12_345_678
    assert floor("-0.123456789") == -12_345_679


def test_buying_rounds_up_and_selling_down() -> None:
    assert cost(1, 1) == 1
    assert proceeds(1, 1) == 0


def test_fees_follow_the_venues_schedules() -> None:
    binary = BinaryFees(maker_rate=0, taker_rate=parse("0.07"))
    assert binary.fee(parse("0.5"), parse("10"), maker=False) == parse("0.175")
    assert binary.fee(parse("0.5"), parse("10"), maker=True) == 0
    ten_points = ProportionalFees(maker_rate=100_000, taker_rate=100_000)
    assert ten_points.fee(parse("61837.63"), parse("0.01"), maker=True) == parse("0.61837630")


def test_cash_for_a_person_is_in_cents() -> None:
    assert show_usd(parse("-12.345")) == "-$12.35"


@given(LEVELS.map(lambda levels: list(dict(levels).items())), LEVELS)
def test_the_book_equals_a_plain_dictionary(snapshot: list[tuple[int, int]], delta: list) -> None:
    book = OrderBook()
    book.replace(snapshot, snapshot, 1)
    book.apply(delta, delta, 2)
    plain = {p: s for p, s in dict(snapshot).items() if s}
    for price, size in delta:
        plain[price] = size
        if not size:
            del plain[price]
    assert book.bids == book.asks == plain
    assert book.bid_prices == book.ask_prices == sorted(plain)
    assert book.best_bid == max(plain, default=0)
    assert book.best_ask == min(plain, default=0)
