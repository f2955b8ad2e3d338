"""What may change an answer that was given: one place that hears of it, and tells every stream."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

Cause = Literal["revision", "revocation", "expiry"]
"""Another policy is in force, a token or subject was revoked, a token has ended."""

_AT_ONCE: Final = 8


class Changes:
    """Tells of changes. `turn`: so few streams ask again at a time, that a change for all does not crowd out others."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._watching: set[Callable[[Cause], None]] = set()

    def watch(self, told: Callable[[Cause], None]) -> None:
        """Call `told`, which must not wait, at every change."""
        self._watching.add(told)

    def unwatch(self, told: Callable[[Cause], None]) -> None:
        """No longer."""
        self._watching.discard(told)

    def tell(self, cause: Cause) -> None:
        """Something has changed."""
        for told in tuple(self._watching):
            told(cause)
