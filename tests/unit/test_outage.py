"""An outage of Redis is told once it lasts, and once when it is over."""

from betatrader.roles.service import AWAY_TOLD_S, Outage


def test_a_short_outage_is_told_to_nobody() -> None:
    told: list[str] = []
    outage = Outage(lambda level, text: told.append(text))
    outage.answered(0)
    outage.unanswered(1)
    outage.unanswered(AWAY_TOLD_S)
    outage.answered(AWAY_TOLD_S + 1)
    assert told == []


def test_a_long_one_is_told_once_and_its_end_with_its_length() -> None:
    told: list[tuple[str, str]] = []
    outage = Outage(lambda level, text: told.append((level, text)))
    for _ in range(2):
        for second in range(1, 14, 2):
            outage.unanswered(second)
        outage.answered(20)
        outage.answered(21)
    assert told == 2 * [
        ("error", "Redis does not answer, for 5 s and more"),
        ("error", "Redis answers again, after 19 s"),
    ]
