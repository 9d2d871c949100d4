"""The generated market: repeatable, believable, and only weakly learnable."""

from statistics import mean

import pytest

from betatrader.engine.book import OrderBook
from betatrader.intel.examples import contract, spot
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade
from betatrader.model.money import SCALE
from betatrader.sim.generator import binary_market, contract_definitions, spot_market


def test_a_seed_gives_the_same_market_and_another_seed_another() -> None:
    assert list(binary_market(1, 2)) == list(binary_market(1, 2))
    assert list(binary_market(1, 2)) != list(binary_market(2, 2))


@pytest.mark.parametrize("loop", range(5))
def test_books_never_cross_and_both_outcomes_mirror_each_other(loop: int) -> None:
    yes, no = contract_definitions(3, loop)
    books = {yes.id: OrderBook(), no.id: OrderBook()}
    trades = 0
    for arrival in binary_market(3, loop):
        for event in arrival.events:
            if isinstance(event, BookSnapshot):
                books[event.instrument].replace(event.bids, event.asks, 0)
            elif isinstance(event, BookDelta):
                books[event.instrument].apply(event.bids, event.asks, 0)
            trades += isinstance(event, PublicTrade)
        one, other = books[yes.id], books[no.id]
        assert {SCALE - price: size for price, size in one.asks.items()} == other.bids
        if one.bid_prices:
            assert 0 < one.best_bid < one.best_ask < SCALE
    assert trades > 50


def test_a_contract_resolves_to_nothing_or_one_and_its_price_is_right_on_average() -> None:
    outcomes, opening = [], []
    for loop in range(150):
        examples, outcome = contract(11, loop)
        outcomes.append(outcome)
        opening.append(examples[0].truth)
    assert set(outcomes) == {0.0, 1.0}
    assert abs(mean(outcomes) - mean(opening)) < 0.08


def test_who_knows_the_generator_beats_the_price_by_at_most_a_tenth() -> None:
    market, ceiling = [], []
    for loop in range(60):
        for example in contract(12, loop)[0]:
            noise = example.truth * (1 - example.truth)
            ceiling.append(noise)
            market.append((example.mid - example.truth) ** 2 + noise)
    gain = 1 - mean(ceiling) / mean(market)
    assert 0.005 < gain < 0.10


def test_without_the_pattern_the_price_is_the_truth_but_for_its_ticks() -> None:
    errors = [
        abs(example.mid - example.truth)
        for loop in range(10)
        for example in contract(13, loop, 0.0)[0]
    ]
    assert mean(errors) < 0.03


def test_the_spot_pair_moves_a_little_and_is_hardly_predictable() -> None:
    examples, returns = spot(5, 300.0, 10.0)
    assert len(examples) == len(returns) > 500
    assert max(abs(r) for r in returns) < 0.002
    listed = [e for a in spot_market(5, 1.0) for e in a.events if isinstance(e, InstrumentListed)]
    assert len(listed) == 1
