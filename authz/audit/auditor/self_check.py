"""Verification by itself, now and then: all of the ledger, as `authz audit verify` does it, in a process of its own.

It runs below everything else, so decisions and signing go first; what it finds is recorded and told in the status.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from authz.audit.findings import Issue
from authz.audit.segment import ledger_event
from authz.audit.status import VerificationStatus
from authz.core import Clock, Event

FIRST_SECONDS: Final = 60.0
"""After a start, where the last verification is longer ago than it should be: the rush of starting is over then."""

MOST_ISSUES: Final = 100
_NICENESS: Final = 15
_AGAIN_SECONDS: Final = 600.0
"""After one that could not find out."""

_log = structlog.get_logger("authz.auditor")


class Verified(Struct, frozen=True):
    """Body of `audit.verified`."""

    intact: bool
    records: int
    issues: int
    seconds: float


class _Damaged(Struct, frozen=True):
    """Body of `audit.damaged`, as the auditor's own alarms have it."""

    stream: str
    kind: str
    segment: str
    line: int
    message: str


class _Stream(Struct):
    records: int


class _Report(Struct):
    intact: bool
    issues: tuple[Issue, ...]
    streams: tuple[_Stream, ...]


_decode: Final = msgspec.json.Decoder(_Report).decode


class SelfCheck:
    """Runs a verification every `every_seconds`; 0 = never. `before`: what the last one said, in another life.

    `owed` and `paid` are for whoever writes the auditor's own stream.
    """

    def __init__(self, state: Path, every_seconds: int, clock: Clock, before: VerificationStatus | None) -> None:
        self.status = before
        self._state = state
        self._every_seconds = every_seconds
        self._clock = clock
        self._owed: list[Event] = []
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        """Begin. Does not wait for it."""
        if self._every_seconds:
            self._task = asyncio.create_task(self._run(), name="self-check")

    async def stop(self) -> None:
        """End, a verification that is under way too."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def owed(self) -> Sequence[Event]:
        """What is to be recorded."""
        return tuple(self._owed)

    def paid(self, ids: Sequence[str]) -> None:
        """These are recorded."""
        self._owed = [event for event in self._owed if event.id not in ids]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._wait_seconds())
            await self.verify()

    def _wait_seconds(self) -> float:
        first = min(FIRST_SECONDS, self._every_seconds)
        if self.status is None:
            return first
        every = self._every_seconds if self.status.failure is None else min(self._every_seconds, _AGAIN_SECONDS)
        return max(first, self.status.at + every - self._clock.now())

    async def verify(self) -> None:
        """Verify now."""
        began = self._clock.elapsed()
        known = set() if self.status is None else set(self.status.issues)
        output, code = await self._read()
        seconds = round(self._clock.elapsed() - began, 3)
        try:
            report = _decode(output) if code in (0, 1) else None
        except msgspec.MsgspecError:
            report = None
        if report is None:
            failure = f"`authz audit verify` ended with {code}: neither intact nor damaged is known"
            issues = () if self.status is None else self.status.issues
            self.status = VerificationStatus(self._clock.now(), seconds, issues, failure)
            _log.error("ledger_not_verified", failure=failure)
            return
        issues = report.issues[:MOST_ISSUES]
        self.status = VerificationStatus(self._clock.now(), seconds, issues)
        self._owe(report, [each for each in issues if each not in known], seconds)

    def _owe(self, report: _Report, new: Sequence[Issue], seconds: float) -> None:
        records = sum(each.records for each in report.streams)
        body = Verified(report.intact, records, len(report.issues), seconds)
        self._owed.append(ledger_event("audit.verified", body))
        for each in new:
            damaged = _Damaged(each.stream, each.kind, each.segment, each.line, each.message)
            self._owed.append(ledger_event("audit.damaged", damaged))
        say = _log.info if report.intact else _log.critical
        say("ledger_verified", intact=report.intact, records=records, issues=len(report.issues), seconds=seconds)

    async def _read(self) -> tuple[bytes, int | str]:
        command = ("-P", "-m", "authz", "audit", "verify", str(self._state), "--no-remember", "--json")
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
            output, _ = await process.communicate()
        except OSError as error:
            return b"", str(error)
        return output, process.returncode if process.returncode is not None else "nothing"
