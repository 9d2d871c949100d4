"""What is secret is shown nowhere, not in an address either."""

import pytest

from betatrader.model.secret import Secret, is_placeholder, known, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ("redis://me:hidden@host:6379/0", "redis://***@host:6379/0"),
        ("unix:///run/redis?db=1&password=hidden", "unix:///run/redis?db=1"),
        ("unix:///run/redis?password=hidden", "unix:///run/redis"),
        ("redis://host?db=2", "redis://host?db=2"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_secret_tells_its_text_on_request_alone_and_is_known_to_who_looks_for_it() -> None:
    secret = Secret("a-text-of-some-length")
    assert f"{secret} {secret!r}" == "*** Secret('***')"
    assert (str(Secret()), bool(Secret()), bool(secret)) == ("", False, True)
    assert secret == Secret("a-text-of-some-length") != Secret("another-of-some-length")
    assert hash(secret) == hash(Secret("a-text-of-some-length"))
    assert secret.reveal() in known()
    assert is_placeholder(Secret("<your key>"))
    assert not is_placeholder(secret)
