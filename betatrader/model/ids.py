"""Names: venues, instruments, strategies and orders."""

import zlib
from typing import NewType

InstrumentId = NewType("InstrumentId", str)
"""`SYMBOL.VENUE`, for example `BTCUSDT.BINANCE`."""

ClientOrderId = NewType("ClientOrderId", str)
"""32 hexadecimal digits: strategy 32 bits, epoch 48 bits, counter 48 bits."""

StrategyId = NewType("StrategyId", str)


def venue_of(instrument: InstrumentId) -> str:
    """The venue that an instrument's id names: what stands after its last point."""
    return instrument.rpartition(".")[2]


def client_order_id(strategy: StrategyId, epoch: int, counter: int) -> ClientOrderId:
    """Build the id of one order; the same inputs give the same id, in every process.

    `epoch` is the lease's token (until the lease exists, the start time in ms) and `counter` the
    number of orders made in it; both must fit 48 bits.
    """
    if not 0 <= counter < 1 << 48:
        raise ValueError(f"counter {counter} must fit 48 bits")
    return ClientOrderId(id_prefix(strategy, epoch) + counter.to_bytes(6).hex())


def id_prefix(strategy: StrategyId, epoch: int) -> str:
    """What all ids of a strategy in an epoch begin with: the caller may keep it."""
    if not 0 <= epoch < 1 << 48:
        raise ValueError(f"epoch {epoch} must fit 48 bits")
    return f"{zlib.crc32(strategy.encode()):08x}{epoch:012x}"
