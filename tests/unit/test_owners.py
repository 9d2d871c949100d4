"""Secrets reach only the role that needs them."""

import pytest

from betatrader.config import loads
from betatrader.ops import door, owners
from betatrader.ops.owners import environment_of
from betatrader.release.apps import ORDER
from betatrader.roles import ROLES

VENUES = {
    owners.variable(table, field): f"a secret {field}"
    for table in ("binance", "polymarket")
    for field in owners.secret_fields()[table]
}
ALERTS = {
    "BETATRADER_ALERTS__WEBHOOK": "https://a.b/c",
    "BETATRADER_ALERTS__DEADMAN": "https://d.e/",
}
NOBODYS = {
    "BETATRADER_REDIS_PASSWORD_INTEL": "a password",
    "BETATRADER_REDIS_PASSWORD_TRADING": "another password",
    "FLY_API_TOKEN": "a token",
    "FLY_ACCESS_TOKEN": "a token",
}
PLAIN = {
    "PATH": "/bin",
    "BETATRADER_MODE": "live",
    "BETATRADER_BINANCE__SYMBOLS": '["BTCUSDT"]',
    "BETATRADER_POLYMARKET__FUNDER": f"0x{'5a' * 20}",
    "BETATRADER_ALERTS__LEVEL": "info",
}
CONTROL = {door.VARIABLE: "a token of the operator"}
REDIS = {"REDIS_URL": "redis://:password@host"}
EVERYTHING = {**VENUES, **ALERTS, **NOBODYS, **PLAIN, **CONTROL, **REDIS}


def test_every_secret_of_the_configuration_has_its_roles() -> None:
    assert set(owners.secret_fields()) == set(owners.OWNERS)
    assert set(owners.EVERY_ROLE) == set(ROLES) == set(ORDER)


def test_each_setting_is_a_secret_or_plain_and_never_both() -> None:
    secret, plain = owners.secret_variables(), owners.plain_variables()
    assert {"BETATRADER_ALERTS__DEADMAN", "BETATRADER_POLYMARKET__API_PASSPHRASE"} < secret
    assert {"BETATRADER_MODE", "BETATRADER_POLYMARKET__MARKETS"} < plain
    assert not secret & plain


@pytest.mark.parametrize(
    ("role", "its_own"),
    [
        ("trading", {**VENUES, **ALERTS, **CONTROL, **REDIS}),
        ("intel", {**ALERTS, **REDIS}),
        ("jobs", {**ALERTS, **REDIS}),
        ("venue", {}),
        ("redis", {}),
    ],
)
def test_a_process_gets_its_own_secrets_and_no_others(role: str, its_own: dict[str, str]) -> None:
    assert environment_of(role, EVERYTHING) == {**PLAIN, **its_own}


def test_a_secrets_name_is_known_in_any_case() -> None:
    given = {"BETATRADER_binance__Secret": "a secret", "BETATRADER_redis_password_jobs": "another"}
    assert loads("", "x", {"BETATRADER_binance__Secret": "a" * 64}).config.binance.secret
    assert environment_of("intel", given) == {}
    assert list(environment_of("trading", given)) == ["BETATRADER_binance__Secret"]


def test_a_table_in_one_variable_is_given_on_without_its_secrets() -> None:
    table = (
        f'{{markets = ["0x{"1" * 64}"], private_key = "0x{"5e" * 32}", rest_seconds = 90, '
        f'redeem = false, funder = "0x{"5a" * 20}", follow = ["btc-updown-5m"]}}'
    )
    given = {"BETATRADER_POLYMARKET": table, "BETATRADER_POLYMARKET__REST_SECONDS": "60"}
    whole = loads("", "x", environment_of("trading", given)).config.polymarket
    left = environment_of("intel", given)
    part = loads("", "x", left).config.polymarket
    assert "5e" * 32 not in repr(left)
    assert whole.private_key
    assert not part.private_key
    for name in ("markets", "rest_seconds", "redeem", "funder", "follow"):
        assert getattr(part, name) == getattr(whole, name), name
    assert part.rest_seconds == 60


def test_a_table_that_cannot_be_read_is_not_given_on() -> None:
    given = {"BETATRADER_BINANCE": "{secret = half a ta"}
    assert environment_of("intel", given) == {}
    assert environment_of("trading", given) == given
