"""When a witness or an anchor is to be asked next, and what is known of it."""

import random
from typing import Final, Literal

from msgspec import Struct

from authz.anchoring.errors import HistoryError
from authz.core import AuthzError, Clock

CONFIRM_SECONDS: Final = 300.0
"""A log that does not grow is shown again after this: so it is known that the other side is still there."""

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 300.0
"""After each failure the pause doubles, up to this."""


class OutwardStatus(Struct, frozen=True, kw_only=True):
    """One witness or anchor. `size`: that of the last checkpoint it took, 0 for none.

    `time`: when it last took or confirmed one, in seconds since the epoch; before the first one, since when it is
    asked. `disagrees`: it remembers another history than the one on this disk, which nobody may ignore.
    """

    name: str
    kind: Literal["witness", "anchor"]
    size: int
    time: float
    error: str | None = None
    disagrees: bool = False


class Pace:
    """Decides when it is time, and keeps the status. `every_seconds`: least time between two successes."""

    def __init__(self, before: OutwardStatus, clock: Clock, every_seconds: float) -> None:
        self.status = before
        self.hurried = False
        self._clock = clock
        self._every = every_seconds
        self._retry = FIRST_RETRY_SECONDS
        self._failing = False
        self._done: int | None = None
        self._next = self._confirm = clock.elapsed()

    @property
    def failing(self) -> bool:
        """Whether the last try came to nothing."""
        return self._failing

    def has_done(self, size: int) -> bool:
        """Whether the checkpoint of this size was taken, since the process began."""
        return self._done == size

    def due_in(self, size: int) -> float:
        """Seconds until the checkpoint of this size is to be shown; 0 or less: now."""
        now = self._clock.elapsed()
        if self._failing:
            return self._next - now
        if self._done == size:
            return self._confirm - now
        return 0.0 if self.hurried else self._next - now

    def succeeded(self, size: int) -> None:
        """It took the checkpoint of this size."""
        now = self._clock.elapsed()
        self._failing, self._retry, self._done = False, FIRST_RETRY_SECONDS, size
        self._next, self._confirm = now + self._every, now + max(CONFIRM_SECONDS, self._every)
        self.status = OutwardStatus(
            name=self.status.name, kind=self.status.kind, size=size, time=self._clock.now(), error=None
        )

    def failed(self, error: AuthzError) -> None:
        """It did not. Up to a quarter is added to the pause, so that many nodes do not come back at once."""
        pause = self._retry * random.uniform(1.0, 1.25)  # noqa: S311 - not a secret
        self._failing, self._next = True, self._clock.elapsed() + pause
        self._retry = min(self._retry * 2, LONGEST_RETRY_SECONDS)
        self.status = OutwardStatus(
            name=self.status.name,
            kind=self.status.kind,
            size=self.status.size,
            time=self.status.time,
            error=str(error),
            disagrees=isinstance(error, HistoryError),
        )
