"""The union of everything that enters the engine, and the one codec of journal, bus and tests."""

import msgspec

from betatrader.model.account import AccountEvent
from betatrader.model.command import Step
from betatrader.model.instruction import (
    CancelAll,
    ConfirmLimits,
    Fenced,
    Flatten,
    Halt,
    Reduce,
    Resume,
    StageAllowed,
    Started,
    TimerFired,
)
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
    Quote,
    Resolution,
)
from betatrader.model.signal import Forecast

MarketInput = (
    Quote
    | PublicTrade
    | BookSnapshot
    | BookDelta
    | InstrumentListed
    | InstrumentStatus
    | Resolution
)
OperatorInput = Halt | Reduce | Resume | CancelAll | Flatten | ConfirmLimits
Event = (
    MarketInput
    | AccountEvent
    | Forecast
    | OperatorInput
    | StageAllowed
    | Started
    | Fenced
    | TimerFired
)

SCHEMA_VERSION = 1
"""Rides in every stream and journal header; readers accept the last two."""

OLDEST_SCHEMA = max(1, SCHEMA_VERSION - 1)
"""The oldest that is read."""

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Any event, command or Step as msgpack bytes."""

decode_audit = msgspec.msgpack.Decoder(Event | Step).decode
"""msgpack bytes as what the audit stream holds: events of account, signal and operator, Steps."""
