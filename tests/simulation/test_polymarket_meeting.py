"""The adapter and the simulated Polymarket meet in memory: after any run the books agree exactly.

Orders of every kind, cancels, lost answers, failed trades and a restart, in virtual time.
"""

import poly_scene as scene
import pytest
from poly_meeting import RELAYED, Meeting

from betatrader.engine.state import fold_submit
from betatrader.model.account import (
    Fill,
    PairsMerged,
    PositionTransfer,
)
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import (
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.ops import clock
from betatrader.sim.ledger import Merged, Settled
from betatrader.venues.polymarket.serve import settlement
from betatrader.venues.reconcile import unexplained


@pytest.mark.parametrize("seed", range(12))
def test_after_any_run_the_books_agree_exactly(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    meeting = Meeting(monkeypatch, seed, seed % 4)
    if seed % 3 == 1:
        meeting.core.fail_trades(5)
    for step in range(60):
        if seed % 3 == 2 and meeting.chance.random() < 0.1:
            kinds = ["lost", "never came", "error", "html"]
            meeting.core.state.troubles.next.append(meeting.chance.choice(kinds))
        if step == 40 and seed % 3 != 1:  # what fails meanwhile is found in the balances alone
            meeting.restart()
        meeting.act()
        meeting.move(meeting.chance.choice([scene.YES_ID, scene.NO_ID]))
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    working = {n for n, o in account.orders.items() if o.state is OrderState.ACCEPTED}
    assert set(meeting.state.orders.open) == working
    assert any(isinstance(event, Fill) for event in meeting.events)
    if seed % 3 == 1:
        assert any(isinstance(event, PositionTransfer) for event in meeting.events)


TROUBLES = ["", "lost", "never came", "error", "html"]


@pytest.mark.parametrize("wallet", [1, 2, 3], ids=["proxy", "safe", "deposit wallet"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_pairs_are_merged_once_whatever_becomes_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, wallet: int, trouble: str
) -> None:
    meeting = Meeting(monkeypatch, 1, wallet, merge=True, **RELAYED)
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.buy(scene.NO_ID, "0.50", "7")
    if trouble:
        meeting.core.state.troubles.next.append(trouble)
    meeting.settle()
    meeting.go(180)
    merged = [entry for entry in meeting.entries if isinstance(entry, Merged)]
    assert [entry.quantity for entry in merged] == [parse("7")]
    account = meeting.settle()
    (found,) = unexplained(meeting.state, account, "POLYMARKET", clock.now_ns())
    assert isinstance(found, PairsMerged)
    assert found.quantity == parse("7")
    meeting.state.fold(found)
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    assert meeting.state.portfolio.cash == meeting.ledger().cash


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_winner_is_redeemed_and_the_books_need_no_word_of_it(
    monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    meeting = Meeting(monkeypatch, 1, 2, **RELAYED)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.settle()
    if trouble:
        meeting.core.state.troubles.next.append(trouble)
    for name, payout in ((scene.YES_ID, SCALE), (scene.NO_ID, 0)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    before = meeting.ledger().cash
    meeting.go(180)
    assert {event.instrument for event in meeting.heard if isinstance(event, Resolution)} == {
        scene.YES_ID,
        scene.NO_ID,
    }
    paid = [entry for entry in meeting.entries if isinstance(entry, Settled)]
    assert [(entry.instrument, entry.payout) for entry in paid] == [(scene.YES_ID, SCALE)]
    assert meeting.ledger().cash == before + parse("10")
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    assert meeting.state.portfolio.cash == meeting.ledger().cash


def test_a_winner_is_redeemed_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting(monkeypatch, 1, 3, **RELAYED)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.NO_ID, "0.50", "10")
    meeting.settle()
    for name, payout in ((scene.YES_ID, 0), (scene.NO_ID, SCALE)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    meeting.restart()
    meeting.go(120)
    assert [type(entry) for entry in meeting.entries if isinstance(entry, Settled)] == [Settled]


def test_no_transaction_is_sent_once_the_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may end while the wallet's number is asked for: then another may send one by now."""
    meeting = Meeting(monkeypatch, 1, 2, merge=True, **RELAYED)
    relayer = meeting.venue._redeemer._relayer
    assert relayer is not None
    ask, leads = relayer.params, [True]

    async def params() -> tuple[int, str]:
        leads[0] = False
        return await ask()

    monkeypatch.setattr(relayer, "params", params)
    meeting.venue.heed(lambda: leads[0])
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.buy(scene.NO_ID, "0.50", "7")
    meeting.settle()
    meeting.go(120)
    assert leads == [False]
    assert not any(isinstance(entry, Merged) for entry in meeting.entries)
    monkeypatch.setattr(relayer, "params", ask)
    leads[0] = True
    meeting.go(60)
    assert [e.quantity for e in meeting.entries if isinstance(e, Merged)] == [parse("7")]


def test_what_the_wallet_does_not_have_yet_is_neither_missed_nor_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settlement, "MINED_AFTER_NS", 400 * 10**9)
    monkeypatch.setattr(settlement, "CONFIRMED_AFTER_NS", 410 * 10**9)
    meeting = Meeting(monkeypatch, 1, 2, merge=True, **RELAYED)
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.buy(scene.NO_ID, "0.50", "10")
    for _ in range(4):
        account = meeting.settle()
        assert account.moving == (scene.NO_ID, scene.YES_ID)
        assert account.positions == {}
        assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
        meeting.go(15)
    assert not any(isinstance(entry, Merged) for entry in meeting.entries)
    meeting.go(350)
    assert meeting.settle().positions == dict.fromkeys(account.moving, parse("10"))
    meeting.go(60)
    assert [entry.quantity for entry in meeting.entries if isinstance(entry, Merged)] == [
        parse("10")
    ]


def test_what_is_offered_is_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue would cancel the offer."""
    meeting = Meeting(monkeypatch, 1, 2, merge=True, **RELAYED)
    meeting.buy(scene.YES_ID, "0.52", "10")
    terms = OrderTerms(scene.YES_ID, Side.SELL, OrderType.LIMIT, parse("0.90"), parse("6"))
    offer = Approved(ClientOrderId("f" * 32), StrategyId("s"), terms)
    meeting.do(
        lambda: (fold_submit(meeting.state, offer), meeting.venue.submit(offer, clock.now_ns()))
    )
    meeting.buy(scene.NO_ID, "0.50", "10")
    meeting.settle()
    meeting.go(120)
    merged = [entry for entry in meeting.entries if isinstance(entry, Merged)]
    assert [entry.quantity for entry in merged] == [parse("4")]
    assert ClientOrderId("f" * 32) in meeting.state.orders.open


def test_what_this_account_cannot_redeem_is_told_for_as_long_as_it_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meeting = Meeting(monkeypatch, 1, 0)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.settle()
    assert meeting.account().by_hand == ()
    for name, payout in ((scene.YES_ID, SCALE), (scene.NO_ID, 0)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    meeting.go(120)
    [told] = meeting.account().by_hand
    assert told.startswith(f"Redeem positions for condition {scene.CONDITION} by hand at")
    assert "signature_type 0 is an account of its own" in told
    owner = meeting.venue.rest._signer.address
    meeting.do(lambda: meeting.core.state.exchange.pay(scene.YES_ID, SCALE, owner))
    assert meeting.account().by_hand == (), "a person has done it"
