"""An order straight to the trader's /control: when Redis is away, or with `--direct`."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from betatrader.cli.control import ACKNOWLEDGED_S, FLAT_S, UnheardError, still_open
from betatrader.model.errors import (
    BetatraderError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from betatrader.model.instruction import Flatten, Instruction
from betatrader.model.secret import without_password
from betatrader.ops import door, home, http
from betatrader.ops.clock import now_ns

LOOK_S = 0.25


async def ask_directly(order: Instruction, name: str) -> dict[str, Any]:
    """The trader's acknowledgement.

    Raises UnreachableError where no trader is found, RefusedError with its reason, DeadlineError.
    """
    opened = door.find(_home())
    began = now_ns()
    answer = await _post(opened, order, name)
    answer["acknowledged_ms"] = (now_ns() - began) // 1_000_000
    if isinstance(order, Flatten):
        while answer["positions"]:
            if now_ns() - began > FLAT_S * 1e9:
                raise still_open()
            await asyncio.sleep(LOOK_S)
            # the same id again is not obeyed again: it tells what is left
            answer["positions"] = (await _post(opened, order, name))["positions"]
        answer["flat"] = True
    del answer["positions"], answer["repeated"]
    return {**answer, "way": "direct"}


def _home() -> Path:
    """The home of the trader that is meant; raises UnreachableError where another one is near.

    With a REDIS_URL that is not that of the live run, that run is not the one that is meant.
    """
    run, chosen = home.find_run(), os.environ.get("REDIS_URL")
    if run is None or run.home == str(home.default_home()):
        return home.default_home()
    if chosen and without_password(chosen, mark="") != run.redis_url:
        raise UnreachableError(
            f"the live run in {run.home} is not on REDIS_URL\n"
            "Choose the trader's home with BETATRADER_HOME."
        )
    return Path(run.home)


async def _post(opened: door.Door, order: Instruction, name: str) -> dict[str, Any]:
    body = {
        "kind": str(type(order).__struct_config__.tag),
        "id": order.id,
        "author": order.author,
        "reason": order.reason,
    }
    try:
        answer = await http.request(
            "POST",
            f"http://127.0.0.1:{opened.port}/control",
            headers={
                "Authorization": f"Bearer {opened.token.reveal()}",
                "Content-Type": "application/json",
            },
            body=msgspec.json.encode(body),
            timeout_s=ACKNOWLEDGED_S,
        )
    except TimeoutError:
        raise UnheardError(
            f"{name} was sent; the trader has not acknowledged it in {ACKNOWLEDGED_S:.0f} s\n"
            "It may still act on it: look at `betatrader status`, or stop the run."
        ) from None
    except OSError as error:
        raise UnreachableError(
            f"the trader does not answer on port {opened.port}: {error.strerror or error}\n"
            "It has ended, or is starting: look at `betatrader status`."
        ) from None
    if answer.status != 200:
        raise _refused(answer)
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


def _refused(answer: http.Answer) -> BetatraderError:
    text = answer.body.decode(errors="replace").strip()
    if answer.status == 401:
        return RefusedError(f"{text}\nGive the trader's own in {door.VARIABLE}.")
    if answer.status in (400, 413):
        return UsageError(text)
    if answer.status == 404:
        return UnreachableError("another program answers on the trader's port")
    return RefusedError(text)
