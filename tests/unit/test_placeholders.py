"""What only stands where a secret is still to come is no secret, wherever one is given."""

import pytest

from betatrader.config import loads
from betatrader.model import secret
from betatrader.model.errors import ConfigurationError
from betatrader.model.secret import Secret, is_placeholder
from betatrader.ops import door
from betatrader.ops.owners import secret_fields
from betatrader.store import acl

STANDS_FOR_ONE = [
    *("changeme", "changemechangeme", "CHANGE-ME-please", "<your token here please>", "xxxxxxxxxx"),
    *(
        "your-api-key",
        "${REDIS_PASSWORD}",
        "placeholder-of-a-token",
        "password",
        "...........",
        "short",
    ),
]
FIELDS = [
    (table, field)
    for table, fields in secret_fields().items()
    for field in fields
    if table != "alerts"  # those are addresses, and judged as such
]


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a word is in many lines that hold no secret: logs must not look for it after this."""
    monkeypatch.setattr(secret, "_known", set())


@pytest.mark.parametrize("text", ["", *STANDS_FOR_ONE])
def test_what_stands_for_a_secret_is_none(text: str) -> None:
    assert is_placeholder(Secret(text))


@pytest.mark.parametrize(
    "text", ["0x" + "5eed" * 16, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP", "correct horse battery"]
)
def test_a_secret_is_one(text: str) -> None:
    assert not is_placeholder(Secret(text))


@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_every_secret_of_the_configuration_is_looked_at(table: str, field: str) -> None:
    variable = f"BETATRADER_{table.upper()}__{field.upper()}"
    for text in STANDS_FOR_ONE:
        with pytest.raises(ConfigurationError) as refused:
            loads("", "f.toml", {variable: text})
        assert refused.value.problems == [
            f"environment {variable}: {table}.{field}: expected the secret itself, no placeholder "
            "and at least 8 characters, found ***"
        ]
    loads("", "f.toml", {variable: "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP"})
    loads("", "f.toml", {variable: ""})


@pytest.mark.parametrize("text", STANDS_FOR_ONE)
def test_the_token_for_orders_is_looked_at(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        door.given_token({door.VARIABLE: text})
    [told] = refused.value.problems
    assert told.startswith(f"{door.VARIABLE}: expected ")
    assert text not in told


def test_the_passwords_of_the_server_are_looked_at() -> None:
    given = {f"{acl.VARIABLE}{name.upper()}": f"{name}-password-0123" for name in acl.USERS}
    assert acl.passwords(given)
    with pytest.raises(ConfigurationError) as refused:
        acl.passwords(given | {f"{acl.VARIABLE}JOBS": "changemechangeme"})
    [told] = refused.value.problems
    assert told.startswith(f"{acl.VARIABLE}JOBS: expected the password itself, found a placeholder")
