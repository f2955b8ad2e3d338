"""The disk under the ledger, looked at every second and never on the event loop."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from authz.audit import WriteRate, days_left
from authz.core import Clock
from authz.metrics import AUDIT_DISK_DAYS_LEFT, AUDIT_DISK_FREE_BYTES

_EVERY_SECONDS: Final = 1.0


class DiskWatch:
    """Knows how much room there is under the ledger, and says so when it falls below the reserve.

    `free_bytes` asks the disk and may block; `written_bytes` is the ledger's own total.
    """

    def __init__(
        self,
        directory: Path,
        reserve_bytes: int,
        clock: Clock,
        *,
        free_bytes: Callable[[Path], int],
        written_bytes: Callable[[], int],
    ) -> None:
        self.free_bytes: int | None = None
        """At the last look; None before the first one, and while the disk cannot be asked."""
        self.failure: str | None = None
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._ask = free_bytes
        self._written_bytes = written_bytes
        self._rate = WriteRate()
        self._log = structlog.get_logger("authz.recording")

    @property
    def low(self) -> bool:
        """Whether there is less room than the reserve, or the disk cannot be asked."""
        return self.failure is not None or (self.free_bytes is not None and self.free_bytes < self._reserve_bytes)

    def __str__(self) -> str:
        if self.failure is not None:
            return f"the disk cannot be asked for its room: {self.failure}"
        if self.free_bytes is None:
            return "not looked at yet"
        return f"{self.free_bytes} bytes free, the reserve is {self._reserve_bytes}"

    async def look(self) -> None:
        """Ask the disk now."""
        before = self.low
        try:
            self.free_bytes, self.failure = await asyncio.to_thread(self._ask, self._directory), None
        except OSError as error:
            self.free_bytes, self.failure = None, str(error)
        if self.low != before:
            say = self._log.error if self.low else self._log.warning
            say("audit_disk_low" if self.low else "audit_disk_room", disk=str(self))
        rate = self._rate.bytes_per_second(self._clock.elapsed(), self._written_bytes())
        if self.free_bytes is not None:
            AUDIT_DISK_FREE_BYTES.set(self.free_bytes)
            AUDIT_DISK_DAYS_LEFT.set(days_left(self.free_bytes, rate))

    async def watch(self) -> None:
        """Look every second until cancelled. A disk that does not answer holds up one thread, and nothing else."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_SECONDS)
