"""Signals: statements of intel about the future."""

import msgspec

from betatrader.model.ids import InstrumentId


class Forecast(msgspec.Struct, frozen=True, gc=False, tag="forecast", array_like=True):
    """A forecast of one instrument.

    `value` is the probability of the outcome (kind "probability") or the expected relative return
    over the horizon (kind "return"); `confidence` is in 0..1. Floats: statistics, not money.
    `data_time_ns` is the time of the market data that it was made from.
    """

    time_ns: int
    instrument: InstrumentId
    kind: str
    value: float
    confidence: float
    horizon_ns: int
    expires_ns: int
    model: str
    data_time_ns: int = 0


class ForecastRequest(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What trading asks of intel over the bus. Public market data alone.

    After `deadline_ns` (UTC) the answer is of no use, and the request is dropped. The answer goes
    to the stream `reply_to`.
    """

    reply_to: str
    deadline_ns: int
    kind: str
    instrument: InstrumentId
    horizon_ns: int
    features: tuple[float, ...]
    data_time_ns: int
