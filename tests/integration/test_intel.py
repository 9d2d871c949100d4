"""Real models through a real server: trained again alike, exact in ONNX, late work dropped."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from betatrader.intel import examples, repository, train
from betatrader.intel.forecaster import Forecaster
from betatrader.intel.inference import Model
from betatrader.model.errors import UsageError
from betatrader.model.features import WIDTH
from betatrader.model.ids import InstrumentId
from betatrader.model.signal import Forecast, ForecastRequest
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import keys
from betatrader.store.bus import FIELD, Consumer, open_envelope, publish, seal
from betatrader.store.connection import Client

SECOND = 1_000_000_000


def entry(name: str) -> repository.ModelEntry:
    manifest = repository.load(repository.shipped())
    return next(model for model in manifest.models if model.name == name)


def weights(name: str) -> tuple[np.ndarray, float]:
    graph = onnx.load(repository.shipped() / entry(name).file).graph
    values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    return values["weights"][: train.LEARNED, 0], float(values["bias"][0])


@pytest.mark.parametrize("name", ["contract", "spot"])
def test_training_again_gives_the_weights_that_ship(name: str) -> None:
    fit = train.fit_contract(7) if name == "contract" else train.fit_spot(7)
    shipped, bias = weights(name)
    assert np.abs(fit.weights - shipped).max() < 1e-6
    assert abs(fit.bias - bias) < 1e-6
    assert fit.data_sha256 == entry(name).data_sha256


def test_the_onnx_model_answers_as_the_formula_does() -> None:
    rows, _ = examples.contract(99, 0)
    features = np.array([row.features for row in rows])
    shipped, bias = weights("contract")
    fit = train.Fit(shipped.astype(np.float64), bias, "", 0)
    expected = train.answer_contract(fit, features, features[:, train.LEARNED])
    answers = Model(entry("contract"), repository.shipped(), 1).answer([r.features for r in rows])
    assert np.abs(np.array(answers) - expected).max() < 1e-5


def test_the_manifest_tells_the_skill_beside_the_market_and_the_ceiling() -> None:
    skill = entry("contract").skill
    assert skill.ceiling < skill.error < skill.market
    assert 1 - skill.ceiling / skill.market <= 0.10
    assert (
        sum((repository.shipped() / m).stat().st_size for m in ("contract-1.onnx", "spot-1.onnx"))
        < 1e6
    )


def test_skill_on_other_unseen_seeds_is_like_the_manifests() -> None:
    shipped, bias = weights("contract")
    rows = [row for loop in range(80) for row in examples.contract(777, loop)[0]]
    features = np.array([row.features for row in rows])
    mids, truths = np.array([r.mid for r in rows]), np.array([r.truth for r in rows])
    answers = train.answer_contract(train.Fit(shipped, bias, "", 0), features, mids)
    assert ((answers - truths) ** 2).mean() < 0.7 * ((mids - truths) ** 2).mean()


def test_a_model_that_is_not_its_manifests_is_refused(tmp_path: Path) -> None:
    for file in repository.shipped().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "spot-1.onnx").write_bytes(b"other")
    with pytest.raises(UsageError, match="sha256 differs"):
        repository.load(tmp_path)
    with pytest.raises(UsageError, match="no models"):
        repository.load(tmp_path / "none")
    (tmp_path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(UsageError, match="missing required field"):
        repository.load(tmp_path)


async def test_a_request_on_which_the_model_fails_is_buried_and_the_batch_goes_on(
    redis: Client, blocking: Client
) -> None:
    class Picky(Model):
        def answer(self, rows: list[tuple[float, ...]]) -> list[float]:
            if any(row[0] > 100 for row in rows):
                raise ValueError("no")
            return super().answer(rows)

    forecaster = Forecaster(
        redis, blocking, [Picky(entry("contract"), repository.shipped(), 1)], "i"
    )
    await forecaster.join()
    later = time.time_ns() + 60 * SECOND
    bad = msgspec.structs.replace(request("BAD.SIM", later), features=(200.0,) * WIDTH)
    for number, asked in enumerate((request("A.SIM", later), bad)):
        await publish(redis, keys.REQUESTS, seal(asked, f"q{number}"))
    rounds = iter([False, True])
    await forecaster.run(lambda: next(rounds))
    assert await redis.xlen(keys.signals("r1")) == 1
    assert await redis.xlen(keys.dead(keys.REQUESTS)) == 1


def request(name: str, deadline_ns: int, kind: str = "probability") -> ForecastRequest:
    now = time.time_ns()
    return ForecastRequest(
        keys.signals("r1"), deadline_ns, kind, InstrumentId(name), 10 * SECOND, (0.4,) * WIDTH, now
    )


async def test_requests_become_forecasts_and_late_ones_are_dropped(
    redis: Client, blocking: Client
) -> None:
    models = [
        Model(m, repository.shipped(), 1) for m in repository.load(repository.shipped()).models
    ]
    forecaster = Forecaster(redis, blocking, models, "intel-0")
    await forecaster.join()
    later = time.time_ns() + 60 * SECOND
    for number, asked in enumerate(
        (
            request("A.SIM", later),
            request("LATE.SIM", 1),
            request("B.SIM", later, "return"),
            request("ODD.SIM", later, "unknown kind"),
            msgspec.structs.replace(request("SHORT.SIM", later), features=(0.1,) * 3),
        )
    ):
        await publish(redis, keys.REQUESTS, seal(asked, f"q{number}", "trace"))
    stop = False
    task = asyncio.create_task(forecaster.run(lambda: stop))
    reader = Consumer(
        redis,
        redis,
        keys.signals("r1"),
        keys.TRADING_GROUP,
        name="t",
        decode=msgspec.msgpack.Decoder(Forecast).decode,
    )
    await reader.join()
    found: list[Forecast] = []
    deadline = time.monotonic() + 10
    while len(found) < 2 and time.monotonic() < deadline:
        messages = await reader.read(block_s=0.5)
        assert all(message.trace == "trace" for message in messages)
        found += [message.body for message in messages]
    stop = True
    await task
    assert {forecast.instrument: forecast.kind for forecast in found} == {
        "A.SIM": "probability",
        "B.SIM": "return",
    }
    assert all(0 < f.value < 1 for f in found if f.kind == "probability")
    assert all(f.expires_ns == f.data_time_ns + f.horizon_ns // 4 for f in found)
    assert (await redis.xpending(keys.REQUESTS, keys.INTEL_GROUP))["pending"] == 0
    assert await redis.xlen(keys.dead(keys.REQUESTS)) == 2, "the unknown kind, the odd features"


async def test_two_machines_share_the_work_and_double_none(
    redis: Client, server: EmbeddedRedis, tmp_path: Path
) -> None:
    asked, slots = 400, ("intel-1", "intel-2")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "betatrader", "--role", "intel"],
            env={
                **os.environ,
                "REDIS_URL": server.url,
                "BETATRADER_HOME": str(tmp_path / slot),
                "BETATRADER_HEALTH__PORT": "0",
                "BETATRADER_INTEL__SLOT": slot,
            },
            stderr=subprocess.DEVNULL,
        )
        for slot in slots
    ]

    async def consumers() -> dict[str, int]:
        """Who has joined, and for how long (ms) it has got nothing: -1, never anything."""
        if not await redis.exists(keys.REQUESTS):
            return {}
        found = await redis.xinfo_consumers(keys.REQUESTS, keys.INTEL_GROUP)
        return {one["name"].decode(): one["inactive"] for one in found}

    try:
        async with asyncio.timeout(60):
            while set(await consumers()) != set(slots):
                await asyncio.sleep(0.05)
            for number in range(asked):
                later = time.time_ns() + 60 * SECOND
                message = seal(request(f"A{number}.SIM", later), f"q{number}")
                await publish(redis, keys.REQUESTS, message)
                await asyncio.sleep(0.002)
            while (await redis.xpending(keys.REQUESTS, keys.INTEL_GROUP))["pending"] or (
                await redis.xlen(keys.signals("r1")) < asked
            ):
                await asyncio.sleep(0.05)
        assert all(inactive >= 0 for inactive in (await consumers()).values()), "both have worked"
        entries = await redis.xrange(keys.signals("r1"))
        ids = [open_envelope(fields[FIELD]).id for _, fields in entries]
        assert sorted(ids) == sorted(f"f-q{number}" for number in range(asked))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


async def test_a_machine_that_is_no_more_leaves_the_group_once_it_holds_nothing(
    redis: Client,
) -> None:
    def consumer(name: str) -> Consumer[str]:
        decode = msgspec.msgpack.Decoder(str).decode
        return Consumer(redis, redis, keys.REQUESTS, keys.INTEL_GROUP, name=name, decode=decode)

    gone, holding, here = consumer("gone"), consumer("holding"), consumer("here")
    await gone.join()
    await publish(redis, keys.REQUESTS, seal("x", "1"))
    assert len(await holding.read(block_s=0.01)) == 1
    await gone.read(block_s=0.01)
    await asyncio.sleep(0.05)
    await here.read(block_s=0.01)
    await here.forget_gone(idle_ms=30)
    names = [one["name"] for one in await redis.xinfo_consumers(keys.REQUESTS, keys.INTEL_GROUP)]
    assert sorted(names) == [b"here", b"holding"]
