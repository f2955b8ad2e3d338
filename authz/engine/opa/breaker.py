"""The circuit breaker: while the server gives no answers nobody waits for one, and probes find out when it is back."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import structlog

from authz.engine.opa.client import NoAnswerError, RuleFailedError
from authz.metrics import ENGINE_PROBES_TOTAL, ENGINE_STATE

State = Literal["closed", "open", "half_open"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half_open")

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.4
"""With the probe itself, less than a second from a server's return to the first decision."""

_log = structlog.get_logger("authz.engine")


class Breaker:
    """Closed: questions are asked. Open: they are refused. Half open: refused too, while one probe is under way.

    It starts open. A probe is a question of our own, so that nobody's request is what finds out.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], on_open: Callable[[], None]) -> None:
        self.state: State = "open"
        self.reason = "not asked yet"
        self._probe = probe
        self._on_open = on_open
        self._mending: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._turn("open")

    @property
    def closed(self) -> bool:
        """Whether questions may be asked."""
        return self.state == "closed"

    def start(self) -> None:
        """Begin to probe."""
        if self._mending is None:
            self._mending = asyncio.create_task(self._mend(), name="engine-probe")

    def trip(self, reason: str) -> None:
        """Open it, whatever it was, and refuse all that waits."""
        self.reason = reason
        if self.closed:
            _log.error("engine_lost", reason=reason)
            self._turn("open")
            self._on_open()
        self.start()

    async def wait(self, seconds: float) -> bool:
        """Wait for it to close; False when it did not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self.closed

    async def stop(self) -> None:
        """Stop probing."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        self.state = "open"

    async def _mend(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            self._turn("half_open")
            try:
                await self._probe()
            except (NoAnswerError, RuleFailedError) as error:
                self.reason = str(error)
                ENGINE_PROBES_TOTAL.labels("failed").inc()
            else:
                ENGINE_PROBES_TOTAL.labels("answered").inc()
                break
            self._turn("open")
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        self._mending = None
        self.reason = ""
        self._turn("closed")
        _log.info("engine_answers")

    def _turn(self, state: State) -> None:
        self.state = state
        (self._closed.set if state == "closed" else self._closed.clear)()
        for each in STATES:
            ENGINE_STATE.labels(each).set(each == state)
