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
        random = self._pool[self._at : self._at + _RANDOM_BYTES]
        self._at += _RANDOM_BYTES
        milliseconds = (time.time_ns() // 1_000_000).to_bytes(6)
        version, variant = 0x70 | (random[0] & 0x0F), 0x80 | (random[2] & 0x3F)
        text = (milliseconds + bytes((version, random[1], variant)) + random[3:]).hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
