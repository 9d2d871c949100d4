"""No secret leaves by a log line, whatever it is called and however it gets there."""

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from betatrader.model import secret
from betatrader.model.secret import Secret, without_password
from betatrader.ops import logs, redaction

Lines = Callable[[], list[dict[str, Any]]]

HEX = "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDLkq"

BY_SHAPE = {
    "pem": f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----",
    "ec pem": f"-----BEGIN EC PRIVATE KEY-----\n{BODY}\n-----END EC PRIVATE KEY-----",
    "hmac secret": "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE=",
    "hmac secret of 64 bytes": "k" * 86 + "==",
    "bearer": "Bearer q7Vd-93kfLw02mmPz",
    "redis url": "redis://trading:hunter2-hunter2@10.0.0.1:6379",
    "slack": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXX",
    "slack bot": "xoxb-123456789012-abcdefghijkl",
    "discord": "https://discord.com/api/webhooks/112233/AbCd_efGh-ijKlmNop",
    "telegram": "https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/x",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github fine": "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv",
    "fly": "FlyV1 fm2_lJPECAAAAAAAAAAQxBBmYWtlLXRva2Vu,fm2_lJPEToken==",
    "openai": "sk-proj-abcdEFGH1234567890abcdEFGH",
    "anthropic": "sk-ant-api03-AbCdEf_123456-XyZ",
    "tavily": "tvly-abcdEFGH1234567890",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "query": "https://x.example/v1/ws?streams=a&apiKey=93kfLw02mmPz7Vd",
    "cookie": "Cookie: session=93kfLw02; theme=dark",
    "words": "legal winner thank year wave sausage worth useful legal winner thank yellow",
}
PARTS = {
    "pem": BODY,
    "ec pem": BODY,
    "redis url": "hunter2-hunter2",
    "slack": "XXXXXXXX",
    "discord": "AbCd_efGh",
    "telegram": "AAHdqTcvCH1vGWJxf",
    "bearer": "q7Vd-93kfLw02mmPz",
    "query": "93kfLw02mmPz7Vd",
    "cookie": "93kfLw02",
}
"""What must not be seen, where it is not the whole."""

BY_NAME = {
    "private_key": "0x" + HEX,
    "polymarket_private_key": HEX,
    "passphrase": "correct horse",
    "POLY_PASSPHRASE": "d0d1d2d3d4",
    "POLY_API_KEY": "0196b7c0-1111-7222-8333-444455556666",
    "X-MBX-APIKEY": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "api_secret": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    "Authorization": "Basic dXNlcjpwYXNz",
    "Set-Cookie": "sid=abcdef",
    "password": "hunter2",
    "seed_phrase": "abandon abandon about",
    "control_token": "tttttttttttt",
    "token": "q8e7q8e7q8",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1",
}

READABLE = (
    "0x" + HEX,  # a condition id, a transaction
    "0x8626f6940e2eb28930efb4cef49b2d1f2c9c1199",
    "71321045679252212594626385532706912750332728571942532289631379312455583992563",
    "00000001000000000123000000000045",
    "BTCUSDT.BINANCE",
    "the token is missing or wrong",
    "the lease could not be renewed (no answer)",
    "redis://10.0.0.1:6379 does not answer",
    "https://clob.polymarket.com/order?market=0x" + HEX,
    "api_key: expected a text",
    "2026-11-25T18:45:16.123456Z",
    "trading-2212-ab12",
)

PLACES = re.compile("KEY|PASSWORD|=")
"""Where a sentence says how a secret is written, or begins one that a value completes."""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What the process's own logging has written."""
    written = io.BytesIO()
    errors = io.TextIOWrapper(written, write_through=True)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handlers, level = logging.root.handlers[:], logging.root.level
    logs.configure("debug", role="trading", version="1", instance="trading-1")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    errors.detach()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:], logging.root.level = handlers, level


def fail(text: str) -> None:
    planted = text  # a frame's locals are not shown either
    raise ValueError(f"the venue said {planted!r}")


@pytest.mark.parametrize("kind", BY_SHAPE)
def test_a_secret_of_a_known_shape_leaves_by_no_way(lines: Lines, kind: str) -> None:
    planted = BY_SHAPE[kind]
    part = PARTS.get(kind, planted)
    log = structlog.get_logger()
    log.info("field", answer=planted, deep={"a": [planted, {"b": f"x {planted} y"}]})
    log.info(f"message with {planted}")
    log.error("object", error=ValueError(planted), thing=SimpleNamespace(x=planted))
    logging.getLogger("a.library").error("asked with %s", planted)
    try:
        fail(planted)
    except ValueError as error:
        log.exception("failed", error=str(error))
        logging.getLogger("a.library").exception("failed")
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    found = lines()
    assert len(found) == 7
    assert part not in json.dumps(found, ensure_ascii=False).replace("\\n", "\n")
    assert all("***" in json.dumps(line) for line in found)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_secret_is_known_by_the_name_of_its_field(lines: Lines, name: str) -> None:
    planted = BY_NAME[name]
    log = structlog.get_logger()
    log.info("field", **{name: planted}, headers={name: planted}, many=[{name: [planted]}])
    if name != "token":  # in a text it says nothing: a token id is public
        log.info("text", json=json.dumps({name: planted}), python=repr({"x": 1, name: planted}))
    if " " not in planted and name != "token":
        log.error("text", error=f"{name}={planted}", said=f"POST with {name}: {planted}, refused")
    assert planted not in json.dumps(lines())


def test_what_this_process_holds_as_a_secret_is_known_by_value(lines: Lines) -> None:
    key = "0x" + "5d" * 31 + "7a"
    held = [Secret(key), Secret("https://alerts.example/T0KEN-of-mine"), Secret('quo"te\nd one')]
    log = structlog.get_logger()
    for one in held:
        log.info("x", a=one, b=one.reveal(), c=f"{one.reveal()!r}", d=one.reveal().encode())
    log.info("x", bare=key[2:], upper=key[2:].upper(), path="POST /T0KEN-of-mine HTTP/1.1")
    text = json.dumps(lines())
    assert not any(part in text for part in (key[2:], "T0KEN", "quo", "te\nd one"))
    Secret("short")
    assert "short" not in secret.known(), "it would be found in words that are none of it"


def test_the_password_of_an_address_is_known_by_value(lines: Lines) -> None:
    redaction.learn_password("redis://trading:p%40ssw0rd-x@[::1]:6379/0")
    structlog.get_logger().info("x", said="AUTH trading p@ssw0rd-x", also="p%40ssw0rd-x")
    assert "ssw0rd" not in json.dumps(lines())


def test_a_line_of_what_is_no_text_is_written_without_its_secrets(lines: Lines) -> None:
    key = Secret("a-key-of-this-test-0123")
    name = b"/home/\xff/betatrader".decode(errors="surrogateescape")
    structlog.get_logger().error("x", path=name, said={"a": [name, key.reveal()]}, key=key)
    (line,) = lines()
    assert (line["path"], line["said"]["a"]) == (
        "/home/?/betatrader",
        ["/home/?/betatrader", "***"],
    )


def test_what_is_public_stays_readable(lines: Lines) -> None:
    log = structlog.get_logger()
    for text in READABLE:
        log.info(text, id=text, deep=[text], condition_id=text, token_id=text)
    for text, line in zip(READABLE, lines(), strict=True):
        assert (line["event"], line["id"], line["deep"]) == (text, text, [text])
        assert line["condition_id"] == line["token_id"] == text


def test_none_of_our_own_sentences_is_taken_for_a_secret() -> None:
    """Every text in the program that a log or an alert could hold."""
    for path in (Path(redaction.__file__).parents[1]).rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Raise | ast.Call):
                continue
            for inner in ast.walk(node):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    said = redaction.text(inner.value)
                    assert said == inner.value or PLACES.search(inner.value), said


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://me:x@h:1/0", "redis://***@h:1/0"),
        ("unix:///a/b?db=1&password=x", "unix:///a/b?db=1"),
        ("unix:///a/b?password=x", "unix:///a/b"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert without_password(address) == shown
