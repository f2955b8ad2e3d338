"""Noticing that somebody set the clock: the wall clock against one that only ever runs."""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from authz.core import Clock

STEP_SECONDS: Final = 1.0
"""The least change that is recorded. A clock that is only slewed never moves against the monotonic one."""


class ClockStep(Struct, frozen=True):
    """Body of `audit.clock_step`: `observed` is what the clock said, `expected` what it would have said unset.

    The step was somewhen between the last look and this one. A machine that slept shows as a step too.
    """

    step_seconds: float
    expected: str
    observed: str


class ClockWatch:
    """Compares wall and monotonic time with how they stood at the last step that was recorded.

    Small steps add up, so that a clock cannot be led away unseen.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.elapsed()

    def step(self) -> ClockStep | None:
        """The step since then, if there was one. It is found again until it is `recorded`."""
        now = self._clock.now()
        step = now - self._clock.elapsed() - self._offset
        if abs(step) <= STEP_SECONDS:
            return None
        return ClockStep(round(step, 6), _written(now - step), _written(now))

    def recorded(self, step: ClockStep) -> None:
        """This one is in the ledger."""
        self._offset += step.step_seconds


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
