"""The control plane: halt, reduce, resume, cancel-all, flatten; acknowledged or said not to be.

An order goes through Redis; where Redis is away, or the trader does not read there, it goes to the
trader's own /control. It has one id both ways, so that it is obeyed once.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import click

from betatrader.cli.output import json_option, print_json
from betatrader.model.command import CancelOrder, StateChanged, Step
from betatrader.model.errors import BetatraderError, DeadlineError, UnreachableError, UsageError
from betatrader.model.instruction import (
    CancelAll,
    ConfirmLimits,
    Flatten,
    Halt,
    Instruction,
    Reduce,
    Resume,
    lacks_reason,
)
from betatrader.ops.author import user
from betatrader.ops.clock import now_ns

ACKNOWLEDGED_S = 5.0
FLAT_S = 30.0
WAYS = {"redis": "through Redis", "direct": "by the trader itself"}


class UnheardError(DeadlineError):
    """The trader has not acknowledged an order in time."""


def _command(
    kind: type[Instruction], name: str, purpose: str, *, group: str = "", needs_reason: bool = False
) -> click.Command:
    given: dict[str, Any] = {"required": True} if needs_reason else {"default": ""}
    example = f"betatrader {group}{name} --reason 'news at noon'"

    @click.command(name, help=f"{purpose}\n\nExample: {example}")
    @click.option("--reason", help="Why; kept for the audit.", **given)
    @click.option("--direct", is_flag=True, help="Ask the trader of this machine, without Redis.")
    @json_option
    def command(reason: str, direct: bool, as_json: bool) -> None:
        order = kind(now_ns(), secrets.token_hex(8), user(), reason)
        if lacks_reason(order):
            raise UsageError("--reason is empty\nSay why: it is what the journal will tell.")
        answer = asyncio.run(_order(order, name, direct=direct))
        if as_json:
            print_json(answer)
        else:
            click.echo(_sentence(name, answer))

    return command


halt = _command(Halt, "halt", "Stop new orders and cancel what rests; it needs `resume` to end.")
reduce = _command(Reduce, "reduce", "From now on only orders that reduce a position.")
resume = _command(Resume, "resume", "Trade again; loss limits count from here.")
cancel_all = _command(CancelAll, "cancel-all", "Cancel every order that rests.")
limits_confirm = _command(
    ConfirmLimits,
    "confirm",
    "Confirm limits that the configuration has raised, and say why.",
    group="limits ",
    needs_reason=True,
)
flatten = _command(Flatten, "flatten", "Cancel what rests, sell every position, and stay HALTED.")


def _sentence(name: str, answer: dict[str, Any]) -> str:
    parts = [
        f"{name} acknowledged in {answer['acknowledged_ms']} ms {WAYS[answer['way']]}",
        f"state {answer['state']}",
    ]
    if answer["canceled"]:
        parts.append(f"{answer['canceled']} cancels sent")
    if name == "flatten":
        parts.append("flat" if answer["flat"] else "NOT FLAT YET: see `betatrader positions`")
    return ", ".join(parts)


async def _order(order: Instruction, name: str, *, direct: bool) -> dict[str, Any]:
    """The acknowledgement, and the way on which it came."""
    from betatrader.cli.direct import ask_directly
    from betatrader.store.connection import AWAY

    if direct:
        return await ask_directly(order, name)
    try:
        return {**await _through_redis(order, name), "way": "redis"}
    except (UnreachableError, UnheardError, *AWAY) as error:
        reason = str(error) or "no answer in time"
        trouble = (
            error
            if isinstance(error, BetatraderError)
            else UnreachableError(
                f"Redis went away: {reason}\nTry again, or ask the trader itself with --direct."
            )
        )
    try:
        return await ask_directly(order, name)
    except UnreachableError:
        raise trouble from None


async def _through_redis(instruction: Instruction, name: str) -> dict[str, Any]:
    from betatrader.ops import home
    from betatrader.store import keys
    from betatrader.store.bus import publish, seal
    from betatrader.store.connection import connected
    from betatrader.store.schema import written

    async with connected(home.redis_url(), 2.0) as redis:
        run = await redis.get(keys.RUN)
        if run is None:
            raise UnreachableError("no trader runs on this Redis\nStart one: betatrader up")
        stream = keys.audit(run.decode())
        last = await redis.xrevrange(stream, count=1)
        after = last[0][0] if last else b"0"
        began = now_ns()
        data = seal(instruction, instruction.id, schema=await written(redis))
        await publish(redis, keys.instructions(run.decode()), data)
        answer = await _acknowledgement(redis, run.decode(), after, instruction.id)
        if answer is None:
            raise UnheardError(
                f"{name} was sent; the trader has not acknowledged it in {ACKNOWLEDGED_S:.0f} s\n"
                "It may still act on it: look at `betatrader status`, or stop the run."
            )
        answer["acknowledged_ms"] = (now_ns() - began) // 1_000_000
        if isinstance(instruction, Flatten):
            answer["flat"] = await _until(redis, run.decode(), lambda s: not s.to_sell)
            if not answer["flat"]:
                raise still_open()
        return answer


def still_open() -> DeadlineError:
    """What `flatten` ends with where it could not sell everything in time."""
    return DeadlineError(
        f"flatten was acknowledged, and positions are still open after {FLAT_S:.0f} s\n"
        "It goes on trying: look at `betatrader positions`."
    )


async def _acknowledgement(
    redis: Any, run: str, after: bytes, wanted: str
) -> dict[str, Any] | None:
    """What the Step says that acknowledges the instruction; None where none came in time."""
    from betatrader.store import records

    deadline = now_ns() + int(ACKNOWLEDGED_S * 1e9)
    while now_ns() < deadline:
        async for entry, data in records.pages(redis, run, after):
            after = entry
            _, record = records.unseal(data)
            if isinstance(record, Step) and records.acknowledges(record, wanted):
                return await _answer(redis, record)
        await asyncio.sleep(0.02)
    return None


async def _answer(redis: Any, step: Step) -> dict[str, Any]:
    from betatrader.store import keys

    states = [change.state for change in step.changes if isinstance(change, StateChanged)]
    kept = await redis.hget(keys.KEPT, "state")
    return {
        "acknowledged": True,
        "state": str(states[-1]) if states else (kept or b"ACTIVE").decode(),
        "canceled": sum(isinstance(change, CancelOrder) for change in step.changes),
    }


async def _until(redis: Any, run: str, wanted: Callable[[Any], bool]) -> bool:
    """Wait for a summary that is newer than the one that stands, and as wanted. Its time is of the
    trader's clock, which may be another than ours; none stands where Redis came back empty."""
    import msgspec

    from betatrader.model.summary import Summary
    from betatrader.store import keys

    before_ns, ends = -1, time.monotonic() + FLAT_S
    while time.monotonic() < ends:
        data = await redis.get(keys.summary(run))
        if data is not None:
            summary = msgspec.json.decode(data, type=Summary)
            if before_ns < 0:
                before_ns = summary.time_ns
            if summary.time_ns > before_ns and wanted(summary):
                return True
        await asyncio.sleep(0.1)
    return False
