"""`/control` over a real socket: who has no token, or asks wrongly, hears one line."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest
import pytest_asyncio

from betatrader.model.secret import Secret
from betatrader.ops import door, health, http
from betatrader.roles import controlling
from betatrader.roles.controlling import LARGEST, PATH, Control, Order

pytestmark = pytest.mark.asyncio

TOKEN = "a-token-of-the-test"
HALT = b'{"kind": "halt", "author": "ann", "reason": "news"}'


class Obeying(Control):
    """Notes the orders that got through."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.obeyed: list[Order] = []

    def obey(self, order: Order) -> dict:  # type: ignore[type-arg]
        self.obeyed.append(order)
        return {"acknowledged": True}


class Served:
    """A health server with the door; `url` is its address."""

    def __init__(self, control: Obeying, port: int) -> None:
        self.control = control
        self.port = port

    async def ask(
        self, body: bytes = HALT, method: str = "POST", authorization: str = f"Bearer {TOKEN}"
    ) -> tuple[int, str]:
        headers = {"Authorization": authorization} if authorization else {}
        url = f"http://127.0.0.1:{self.port}{PATH}"
        answer = await http.request(method, url, headers=headers, body=body, timeout_s=10)
        return answer.status, answer.body.decode()


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    sockets = health.bind(0, everywhere=False)
    control = Obeying(Secret(TOKEN), lambda: True, lambda: False)
    web = health.application(lambda: "")
    web.add_route(PATH, control.answer, methods=["POST"])
    serving = asyncio.create_task(health.serve(sockets, web))
    yield Served(control, sockets[0].getsockname()[1])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_with_the_token_an_order_is_obeyed_and_acknowledged(served: Served) -> None:
    assert await served.ask() == (200, '{"acknowledged":true}')
    assert served.control.obeyed == [Order(kind="halt", author="ann", reason="news")]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN],
)
async def test_without_the_token_nothing_is_obeyed(served: Served, authorization: str) -> None:
    status, text = await served.ask(authorization=authorization)
    assert (status, text) == (401, "the token is missing or wrong\n")
    assert served.control.obeyed == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "no order"),
        (b"halt", 400, "malformed"),
        (b"[]", 400, "Expected `object`"),
        (b'{"kind": "halt"}', 400, "author"),
        (b'{"kind": "halt", "author": ""}', 400, "length >= 1"),
        (b'{"kind": "halt", "author": "a", "reson": "x"}', 400, "reson"),
        (b'{"kind": "halt", "author": "\xff"}', 400, "no order"),
        (b" " * (LARGEST + 1), 413, "more than 4096 bytes"),
    ],
)
async def test_a_body_that_is_no_order_hears_why_in_one_line(
    served: Served, body: bytes, status: int, said: str
) -> None:
    found, text = await served.ask(body)
    assert found == status
    assert said in text
    assert text.count("\n") == 1
    assert served.control.obeyed == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_orders(served: Served, method: str) -> None:
    status, text = await served.ask(method=method)
    assert (status, text) == (405, "Method Not Allowed")
    assert served.control.obeyed == []


async def test_a_body_that_never_comes_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controlling, "BODY_S", 0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(f"{head}Content-Length: 10\r\n\r\n".encode())
    with anyio.fail_after(10):
        answer = await reader.readuntil(b"\r\n")
    writer.close()
    assert b" 408 " in answer


async def test_the_other_pages_need_no_token(served: Served) -> None:
    for page in ("livez", "readyz", "metrics"):
        url = f"http://127.0.0.1:{served.port}/{page}"
        assert (await http.request("GET", url, timeout_s=10)).status == 200


async def test_who_guesses_at_the_token_is_not_listened_to_for_a_while(served: Served) -> None:
    now_s, told = 0.0, []
    served.control.attempts = door.Attempts(lambda: now_s)
    served.control.on_guesses = told.append
    for number in range(door.MOST_WRONG):
        assert (await served.ask(authorization=f"Bearer guess-{number}"))[0] == 401
    assert told == ["127.0.0.1"]
    for authorization in ("Bearer guess", "", f"Bearer {TOKEN}"):
        status, text = await served.ask(authorization=authorization)
        assert status == 429, "the token is not even looked at"
        assert text.startswith("too many wrong tokens from here; ask again in 60 s")
    assert served.control.obeyed == []
    now_s = door.WITHIN_S
    assert (await served.ask())[0] == 200
    assert told == ["127.0.0.1"]


async def test_a_guesser_keeps_no_other_address_out_and_gains_nothing_by_many_of_its_own() -> None:
    attempts = door.Attempts(lambda: 0.0)
    answers = [attempts.wrong(f"fdaa:0:1:2::{number:x}") for number in range(door.MOST_WRONG)]
    assert answers == [False] * (door.MOST_WRONG - 1) + [True]
    assert attempts.wait_s("fdaa:0:1:2:ffff::1") > 0, "one network"
    assert attempts.wait_s("fdaa:0:1:3::1") == attempts.wait_s("10.0.0.1") == 0
    for number in range(door.MOST_WRONG):
        attempts.wrong(("::ffff:10.0.0.1", "10.0.0.1")[number % 2])
    assert attempts.wait_s("10.0.0.1") > 0, "one address, written in two ways"
