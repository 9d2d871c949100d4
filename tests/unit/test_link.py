"""The reference venue's wire: frames, messages and faults."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scenes import quote, terms

from betatrader.model.account import OrderAccepted, VenueAccount
from betatrader.model.ids import ClientOrderId
from betatrader.model.order import Side
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.sim.ledger import Ledger
from betatrader.venues.link import wire

ORDER = ClientOrderId("a" * 32)


@given(some.lists(some.binary(max_size=300), max_size=8), some.lists(some.integers(1, 200)))
def test_frames_come_whole_however_the_bytes_are_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(len(payload).to_bytes(4) + payload for payload in payloads)
    frames, found = wire.Frames(), []
    for cut in [*cuts, len(data)]:
        found += list(frames.feed(data[:cut]))
        data = data[cut:]
    assert found == payloads


def test_a_frame_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        list(wire.Frames().feed(b"\xff\xff\xff\xff"))


def test_every_message_comes_back_as_it_was() -> None:
    account = VenueAccount(1, {}, {}, ())
    asked: list[wire.Request] = [
        wire.Hello("us"),
        wire.Place(1, ORDER, terms(Side.BUY, "10", "1")),
        wire.Withdraw(2, ORDER, terms(Side.BUY, "10", "1").instrument),
        wire.AskAccount(3, (ORDER,)),
        wire.AskLedger(4),
    ]
    answers: list[wire.Answer] = [
        wire.Welcome("SIM", 5),
        wire.Received(1),
        wire.Shown(quote("1", "2")),
        wire.Told(OrderAccepted(7, ORDER)),
        wire.AccountIs(3, account),
        wire.LedgerIs(4, Ledger(cash=3), (ORDER,)),
        wire.Failed(5, "too many requests"),
    ]
    assert [wire.decode_request(wire.framed(m)[4:]) for m in asked] == asked
    assert [wire.decode_answer(wire.framed(m)[4:]) for m in answers] == answers


def test_faults_are_the_same_for_a_seed_and_as_frequent_as_they_are_told() -> None:
    faults = Faults(lost=0.1, late=0.2, twice=0.3, unknown=0.4)
    link, again = FaultyLink(faults, 7), FaultyLink(faults, 7)
    fates = [link.deliveries() for _ in range(5_000)]
    assert fates == [again.deliveries() for _ in range(5_000)]
    assert sum(not fate for fate in fates) == link.counts["lost"]
    for kind, share in (("lost", 0.1), ("late", 0.18), ("twice", 0.27)):
        assert abs(link.counts[kind] / 5_000 - share) < 0.03, kind
    assert 0.35 < sum(link.forgets() for _ in range(1_000)) / 1_000 < 0.45


def test_without_faults_everything_arrives_once_and_at_once() -> None:
    link = FaultyLink(Faults(), 1)
    assert [link.deliveries() for _ in range(100)] == [[0.0]] * 100
    assert not link.forgets()


def test_each_part_fails_alone_and_the_fates_of_messages_stay_as_they_were() -> None:
    lossy = Faults(lost=0.3, down_orders=0.5, limited_cancels=0.2)
    link, other = FaultyLink(lossy, 3), FaultyLink(Faults(lost=0.3), 3)
    met: dict[str, list[str]] = {"orders": [], "cancels": [], "queries": []}
    fates = []
    for _ in range(2_000):
        for part, found in met.items():
            found.append(link.meets(part))
        fates.append(link.deliveries())
    assert fates == [other.deliveries() for _ in range(2_000)]
    assert {*met["orders"]} == {"", "silent", "down"}
    assert 0.45 < sum(map(bool, met["orders"])) / 2_000 < 0.55
    assert abs(met["orders"].count("silent") - met["orders"].count("down")) < 150
    assert {*met["cancels"]} == {"", "limited"}
    assert 0.15 < sum(map(bool, met["cancels"])) / 2_000 < 0.25
    assert not any(met["queries"])
    assert link.counts["limited"] == met["cancels"].count("limited")
