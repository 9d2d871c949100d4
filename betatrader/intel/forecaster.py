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
from betatrader.store.schema import Schema

EXPIRY_SHARE = 4
"""A forecast is fresh for this part of its horizon, counted from its market data."""

PAUSE_S = 0.5

decode_request = msgspec.msgpack.Decoder(ForecastRequest).decode


class Forecaster:
    """Takes whatever has queued up while the last batch ran, and answers it in one go."""

    def __init__(
        self,
        redis: Client,
        blocking: Client,
        models: list[Model],
        name: str,
        schema: Schema | None = None,
    ) -> None:
        self._redis = redis
        self._schema = schema or Schema()
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
                    await self._consumer.forget_gone()
            except AWAY as error:
                metrics.REDIS_ERRORS.labels("requests").inc()
                self._log.warning("redis_away", what="requests", error=str(error))
                await anyio.sleep(PAUSE_S)
                await self._consumer.rejoin()

    async def _answer(self, messages: list[Message[ForecastRequest]]) -> None:
        if not messages:
            return
        fresh = await self._usable(messages)
        sealed: list[tuple[str, bytes]] = []
        for kind, model in self._models.items():
            asked = [message for message in fresh if message.body.kind == kind]
            if asked:
                values = await self._values(model, asked)
                sealed += [
                    (m.body.reply_to, self._seal(m, value, model))
                    for m, value in zip(asked, values, strict=True)
                    if value is not None
                ]
        await publish_all(self._redis, sealed)
        metrics.FORECASTS.inc(len(sealed))
        await self._consumer.acknowledge(*(message.entry for message in messages))

    def _seal(self, asked: Message[ForecastRequest], value: float, model: Model) -> bytes:
        forecast = _forecast(asked.body, value, model)
        return seal(forecast, f"f-{asked.id}", asked.trace, self._schema.writes)

    async def _usable(
        self, messages: list[Message[ForecastRequest]]
    ) -> list[Message[ForecastRequest]]:
        """Those that are not late and that a model can take; what none can take is buried."""
        now, fresh = clock.now_ns(), []
        for message in messages:
            request = message.body
            model = self._models.get(request.kind)
            if model is None or len(request.features) != model.entry.width:
                text = f"no model takes {len(request.features)} features for a {request.kind}"
                await self._consumer.bury_message(message, text)
            elif request.deadline_ns <= now:
                metrics.LATE.inc()
            else:
                fresh.append(message)
        return fresh

    async def _values(
        self, model: Model, asked: list[Message[ForecastRequest]]
    ) -> list[float | None]:
        """One answer a request; where the batch fails, each alone, None for what fails again."""
        rows = [message.body.features for message in asked]
        try:
            return list(await to_thread.run_sync(partial(model.answer, rows)))
        except Exception as error:  # onnxruntime's own classes are not public
            self._log.warning("batch_failed", model=model.entry.name, error=str(error))
        values: list[float | None] = []
        for message in asked:
            try:
                found = await to_thread.run_sync(partial(model.answer, [message.body.features]))
            except Exception as error:  # as above
                await self._consumer.bury_message(message, f"the model failed: {error}")
                values.append(None)
            else:
                values.append(found[0])
        return values


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
