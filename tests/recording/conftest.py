"""A guarded ledger over a real stream on a disk that fails when it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from authz.audit import WriterLimits
from authz.core import Event
from authz.metrics import DecisionMeter
from authz.recording import Damage, GuardedLedger, Mode
from tests.audit.ledger import STREAM, FaultyFiles, SystemClock, records, writer


class Guarded:
    """A guarded ledger and what is under it."""

    def __init__(
        self, directory: Path, *, degraded: bool, on_damage: Literal["page", "stop"], limits: WriterLimits
    ) -> None:
        self.directory = directory
        self.files = FaultyFiles()
        self.writer = writer(directory, files=self.files, limits=limits)
        self.mode = Mode(SystemClock(), degraded=degraded)
        self.damage = Damage(STREAM, on_damage)
        self.ledger = GuardedLedger(
            self.writer, DecisionMeter(), SystemClock(), self.mode, self.damage, patience_seconds=0.1
        )

    def of_type(self, *types: str) -> list[dict[str, Any]]:
        """The records of these types, oldest first."""
        return [record for record in records(self.directory) if record["type"] in types]

    async def healthy(self) -> None:
        """Return when the stream takes records, and what was owed is settled."""
        async with asyncio.timeout(5):
            while not self.writer.healthy or self.ledger.unrecorded:
                self.ledger.look()
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        await self.ledger.close(Event("last", "system.shutdown", {"reason": "test"}), "test")


Make = Callable[..., Guarded]


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes guarded ledgers, not yet open, and closes them."""
    made: list[Guarded] = []

    def make(
        *,
        degraded: bool = False,
        on_damage: Literal["page", "stop"] = "page",
        limits: WriterLimits | None = None,
    ) -> Guarded:
        quick = WriterLimits(retry_seconds=0.01, retry_most_seconds=0.02)
        made.append(Guarded(tmp_path, degraded=degraded, on_damage=on_damage, limits=limits or quick))
        return made[-1]

    yield make
    for each in made:
        each.files.forgive()
        each.files.gate.set()
        await each.writer.close()


def decision(event_id: str, outcome: str = "allow") -> Event:
    """An event that decides."""
    body = {"decision": outcome, "reason": "scope_granted", "revision": "r", "caller": "c"}
    return Event(event_id, "auth.scope_granted" if outcome == "allow" else "auth.scope_denied", body)
