"""Answers forecast requests: batches from the bus through the models, and back onto the bus."""

import time
from collections.abc import Callable
from functools import partial

import anyio
import msgspec
import structlog
from anyio import to_thread

from betatrader.intel.inference import Model
from betatrader.model.signal import Forecast, ForecastRequest
from betatrader.ops import clock, metrics
from betatrader.store import keys
from betatrader.store.bus import Consumer, Message, publish_all, seal
from betatrader.store.connection import AWAY, Client

EXPIRY_SHARE = 4
"""A forecast is fresh for this part of its horizon, counted from its market data."""

PAUSE_S = 0.5

decode_request = msgspec.msgpack.Decoder(ForecastRequest).decode


class Forecaster:
    """Takes whatever has queued up while the last batch ran, and answers it in one go."""

    def __init__(self, redis: Client, blocking: Client, models: list[Model], name: str) -> None:
        self._redis = redis
        self._models = {model.entry.kind: model for model in models}
        self._consumer = Consumer(
            redis,
            blocking,
            keys.REQUESTS,
            keys.INTEL_GROUP,
            name=name,
            decode=decode_request,
        )
        self._log = structlog.get_logger()

    async def join(self) -> None:
        """Make the group of the requests' stream."""
        await self._consumer.join()

    async def run(self, stopping: Callable[[], bool]) -> None:
        """Answer until told to stop; Redis going away is waited out."""
        swept = time.monotonic()
        while not stopping():
            try:
                await self._answer(await self._consumer.read(block_s=1.0))
                if time.monotonic() - swept > 30.0:
                    swept = time.monotonic()
                    await self._answer(await self._consumer.take_over())
            except AWAY as error:
                metrics.REDIS_ERRORS.labels("requests").inc()
                self._log.warning("redis_away", what="requests", error=str(error))
                await anyio.sleep(PAUSE_S)
                await self._consumer.rejoin()

    async def _answer(self, messages: list[Message[ForecastRequest]]) -> None:
        if not messages:
            return
        now = clock.now_ns()
        fresh = [m for m in messages if m.body.deadline_ns > now and m.body.kind in self._models]
        metrics.LATE.inc(len(messages) - len(fresh))
        sealed: list[tuple[str, bytes]] = []
        for kind, model in self._models.items():
            asked = [message for message in fresh if message.body.kind == kind]
            if asked:
                rows = [message.body.features for message in asked]
                values = await to_thread.run_sync(partial(model.answer, rows))
                sealed += [
                    (m.body.reply_to, seal(_forecast(m.body, value, model), f"f-{m.id}", m.trace))
                    for m, value in zip(asked, values, strict=True)
                ]
        await publish_all(self._redis, sealed)
        metrics.FORECASTS.inc(len(sealed))
        await self._consumer.acknowledge(*(message.entry for message in messages))


def _forecast(request: ForecastRequest, value: float, model: Model) -> Forecast:
    entry = model.entry
    return Forecast(
        time_ns=clock.now_ns(),
        instrument=request.instrument,
        kind=request.kind,
        value=value,
        confidence=entry.confidence,
        horizon_ns=request.horizon_ns,
        expires_ns=request.data_time_ns + request.horizon_ns // EXPIRY_SHARE,
        model=f"{entry.name}-{entry.version}",
        data_time_ns=request.data_time_ns,
    )
