"""The union of everything that enters the engine, and the one codec of journal, bus and tests."""

from dataclasses import fields, is_dataclass
from typing import Any

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
"""The oldest that is read, and what is written until a release confirms the newer."""

ADDED: dict[str, tuple[str, ...]] = {}
"""The fields that SCHEMA_VERSION added, by the full name of their struct: each has a default, and
comes last. They are left out while the version before is written, and so not read by it."""

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Any event, command or Step as msgpack bytes."""


def encode_as(value: object, schema: int) -> bytes:
    """The same, as the version `schema` has it: SCHEMA_VERSION, or the one before."""
    return encode(value if schema >= SCHEMA_VERSION or not ADDED else _before(value))


def _before(value: Any) -> Any:
    """What the version before makes of it, in plain lists and tables."""
    if isinstance(value, msgspec.Struct):
        kind = type(value)
        added = ADDED.get(f"{kind.__module__}.{kind.__qualname__}", ())
        kept = {
            name: _before(getattr(value, field))
            for field, name in zip(
                kind.__struct_fields__, kind.__struct_encode_fields__, strict=True
            )
            if field not in added
        }
        config = kind.__struct_config__
        if config.array_like:
            return [*([] if config.tag is None else [config.tag]), *kept.values()]
        return kept if config.tag is None else {config.tag_field: config.tag, **kept}
    if is_dataclass(value):
        whole = f"{type(value).__module__}.{type(value).__qualname__}"
        names = [one.name for one in fields(value) if one.name not in ADDED.get(whole, ())]
        return {name: _before(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: _before(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_before(one) for one in value]
    return value


decode_audit = msgspec.msgpack.Decoder(Event | Step).decode
"""msgpack bytes as what the audit stream holds: events of account, signal and operator, Steps."""
