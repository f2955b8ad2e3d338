"""The clock of an evaluation's deadline: ticks of 10 ms in which this process computed."""

import math
import threading
import time
from typing import Final

import wasmtime

TICK_SECONDS: Final = 0.01
PATIENCE_TICKS: Final = 10
"""So many ticks by the clock are one at least: an evaluation ends after ten times its deadline, whatever happens."""


def due(computed_seconds: float, passed: int) -> int:
    """How many ticks have to be counted after `passed` ticks by the clock in which the process computed so long.

    On a machine that is busy with others, an evaluation can wait for a processor for longer than it may take. That is
    not the policy's fault, and whoever computes nothing gets no nearer to the deadline.
    """
    ticks = min(passed, int(computed_seconds / TICK_SECONDS))
    return max(ticks, 1) if passed >= PATIENCE_TICKS else ticks


class Ticks:
    """Counts for one engine, in a thread. Implements what a `Native` wants of its clock."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @staticmethod
    def of(seconds: float) -> int:
        """A deadline in ticks, rounded up."""
        return max(1, math.ceil(seconds / TICK_SECONDS))

    def start(self) -> None:
        """Begin to count, once."""
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._count, name="authz-deadline", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=1.0)

    def _count(self) -> None:
        counted, passed = time.process_time(), 0
        while not self._stopped.wait(TICK_SECONDS):
            passed += 1
            now = time.process_time()
            ticks = due(now - counted, passed)
            if not ticks:
                continue
            for _ in range(ticks):
                self._engine.increment_epoch()
            # What was computed beyond what is counted is no credit for the next evaluation, but for less than a tick.
            counted, passed = now - min((now - counted) % TICK_SECONDS, TICK_SECONDS), 0
