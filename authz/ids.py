"""Identifiers of decisions and events: UUID version 7 (RFC 9562 section 5.7), so that they sort by time."""

import os
import time

_RANDOM_DIGITS = 19
_POOL_BYTES = 200 * _RANDOM_DIGITS

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""A random digit -> the digit that holds the variant, binary 10, and two random bits (RFC 9562 section 4.1)."""


class IdSource:
    """Makes ids from the wall clock and a pool of kernel randomness, refilled every 400 ids. One per event loop."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = ""
        self._at = 0

    def __call__(self) -> str:
        """A new id, as 36 characters."""
        if self._at >= len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).hex()
            self._at = 0
        at, pool = self._at, self._pool
        self._at = at + _RANDOM_DIGITS
        milliseconds = f"{time.time_ns() // 1_000_000:012x}"
        return (
            f"{milliseconds[:8]}-{milliseconds[8:]}-7{pool[at : at + 3]}"
            f"-{_VARIANT[pool[at + 3]]}{pool[at + 4 : at + 7]}-{pool[at + 7 : at + 19]}"
        )
