"""Keccak-256, as Ethereum uses it (it is not SHA-3), by pycryptodome.

A hash of 66 bytes is mostly the making of an object; so the library's C state is kept and reset
instead. Where its inner form is another one, or answers otherwise, its public way is taken. Pure.
"""

from collections.abc import Callable
from typing import Any

from Crypto.Hash import keccak as _keccak
from Crypto.Util import _raw_api

BYTES = 32
NOTHING = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""The hash of nothing at all."""

Hash = Callable[[bytes], bytes]


def plain(data: bytes) -> bytes:
    """The hash, by the library's public way."""
    return _keccak.new(digest_bits=8 * BYTES, data=data).digest()


def _kept() -> Hash:
    """The hash with states that are kept: each is used by one caller at a time, since the library
    lets other threads run meanwhile."""
    module: Any = _keccak
    library = module._raw_keccak_lib
    reset, absorb, digest = library.keccak_reset, library.keccak_absorb, library.keccak_digest
    free: list[tuple[Any, Any, Any, Any]] = []

    def hashed(data: bytes) -> bytes:
        state = free.pop() if free else _state()
        _, pointer, out, shown = state
        if reset(pointer) or absorb(pointer, data, len(data)) or digest(pointer, out, BYTES, 1):
            raise ValueError("keccak fails")
        found: bytes = shown[:]
        free.append(state)
        return found

    return hashed


def _state() -> tuple[Any, Any, Any, Any]:
    """A state of the library's, its pointer, where a digest goes, and that as bytes."""
    made: Any = _keccak.new(digest_bits=8 * BYTES)
    api: Any = _raw_api
    out = api.create_string_buffer(BYTES)
    return made, made._state.get(), out, api.ffi.buffer(out)


def _chosen() -> Hash:
    if getattr(_raw_api, "backend", "") != "cffi":
        return plain
    try:
        kept = _kept()
        right = kept(b"") == NOTHING and kept(b"x" * 500) == plain(b"x" * 500)
    except (AttributeError, TypeError, ValueError):
        return plain
    return kept if right else plain


keccak: Hash = _chosen()
"""The hash."""
