"""Identifiers of decisions and events: UUID version 7 (RFC 9562 section 5.7), so that they sort by time."""

import os
import time

_POOL_BYTES = 4000
_RANDOM_BYTES = 10


class IdSource:
    """Makes ids from the wall clock and a pool of kernel randomness, refilled every 400 ids. One per event loop."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def __call__(self) -> str:
        """A new id, as 36 characters."""
        if self._at >= len(self._pool):
            self._pool = os.urandom(_POOL_BYTES)
            self._at = 0
        random = int.from_bytes(self._pool[self._at : self._at + _RANDOM_BYTES])
        self._at += _RANDOM_BYTES
        milliseconds = time.time_ns() // 1_000_000
        version_and_a = 0x7000 | (random >> 68)
        variant_and_b = 0x8000 | ((random >> 48) & 0x3FFF)
        ms = f"{milliseconds:012x}"
        return f"{ms[:8]}-{ms[8:]}-{version_and_a:04x}-{variant_and_b:04x}-{random & 0xFFFFFFFFFFFF:012x}"
