"""The auditor as the sidecar sees it: a child process to keep alive, and a status file to read.

The child alone reads the signing key. It is told its settings through its standard input, and ends, after signing what
came last, when that is closed: on an orderly end and, since the kernel closes it, when this process is killed.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec
import structlog

from authz.anchoring import read_outward
from authz.audit import RULE_NAMES, AuditorStatus, VerificationStatus, read_status
from authz.config import AuditSettings
from authz.core import Clock
from authz.metrics import (
    ALARMS_FORGOTTEN_TOTAL,
    ALARMS_TOTAL,
    AUDIT_ALARMS,
    AUDIT_ANCHOR_AGE_SECONDS,
    AUDIT_CHECKPOINT_AGE_SECONDS,
    AUDIT_CONSUMER_FAILING,
    AUDIT_CONSUMER_LAG_RECORDS,
    AUDIT_HISTORY_DISAGREES,
    AUDIT_LAG_RECORDS,
    AUDIT_VERIFICATION_ISSUES,
    AUDIT_VERIFIED_TIMESTAMP_SECONDS,
    AUDIT_WITNESS_AGE_SECONDS,
    AUDITOR_STARTS_TOTAL,
)
from authz.readiness import Check
from authz.recording.damage import Damage
from authz.recording.followed import FollowedTotals

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_END_SECONDS: Final = 8.0
_LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger("authz.recording")


class AuditorChild:
    """Keeps an auditor running beside this process. `stop` lets it sign what came last."""

    def __init__(self, state: Path, settings: AuditSettings) -> None:
        self._command = (sys.executable, "-P", "-m", "authz", "audit", "sign", "--state", str(state), "--supervised")
        self._settings = msgspec.json.encode(settings) + b"\n"
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Does not wait for it."""
        self._task = asyncio.create_task(self._keep_alive(), name="auditor")

    async def stop(self) -> None:
        """Have it end in order, for some seconds at most."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            _log.error("auditor_killed", seconds=_END_SECONDS)
            process.kill()
            await process.wait()

    async def _keep_alive(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            code = await self._run()
            if loop.time() - started > _LONGEST_PAUSE_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            _log.error("auditor_ended", code=code, again_in_seconds=pause_seconds)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _run(self) -> int | str:
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            return str(error)
        AUDITOR_STARTS_TOTAL.inc()
        if process.stdin is not None:
            process.stdin.write(self._settings)
        return await process.wait()


class AuditorWatch:
    """Reads the auditor's status once a second: metrics, damage that pages, a line of readiness."""

    def __init__(self, state: Path, settings: AuditSettings, clock: Clock, damage: Damage) -> None:
        self.status: AuditorStatus | None = None
        self._state = state
        self._settings = settings
        self._clock = clock
        self._damage = damage
        self._begun = clock.now()
        self._raised = FollowedTotals(ALARMS_TOTAL, RULE_NAMES, self._begun)
        self._forgotten = FollowedTotals(ALARMS_FORGOTTEN_TOTAL, RULE_NAMES, self._begun)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Read the status now."""
        status = await asyncio.to_thread(read_status, self._state)
        if status is None:
            return
        self.status = status
        self._measure(status)
        found: dict[str, list[str]] = {}
        for alarm in status.alarms:
            where = f"{alarm.segment}, line {alarm.line}: " if alarm.segment else ""
            found.setdefault(alarm.stream, []).append(f"{where}{alarm.message} ({alarm.kind})")
        outward = read_outward(status.outward)
        for one in (*outward.witnesses, *outward.anchors):
            if one.disagrees:
                said = f"the {one.kind} {one.name} remembers another history than the one here (outward_disagrees)"
                found.setdefault("node", []).append(said)
        self._damage.found(found)
        if status.verification is not None:
            self._verified(status.verification)

    def _verified(self, verification: VerificationStatus) -> None:
        """What a verification finds pages like all damage, and stops the ledger where that is configured."""
        found: dict[str, list[str]] = {}
        for each in verification.issues:
            where = f"{each.segment}, line {each.line}: " if each.segment else ""
            found.setdefault(each.stream, []).append(f"{where}{each.message} ({each.kind})")
        self._damage.found(found, by="verification")
        AUDIT_VERIFICATION_ISSUES.set(len(verification.issues))
        if verification.failure is None:
            AUDIT_VERIFIED_TIMESTAMP_SECONDS.set(verification.at)

    @property
    def oldest_uncovered_seconds(self) -> float:
        """For how long a record may have waited for a signed checkpoint."""
        now = self._clock.now()
        if self.status is None:
            return now - self._begun
        ages = [now - each.covered_at for each in self.status.streams if each.ended_by is None]
        return max(0.0, now - self.status.time, *ages)

    def check(self) -> Check:
        """Whether the ledger is being signed. It makes the service unready only where that is configured."""
        if self._settings.auditor == "off":
            return Check("auditor", ok=True, detail="off: nothing is signed, so the ledger can be rewritten unseen")
        age, most = self.oldest_uncovered_seconds, self._settings.checkpoint_max_age_seconds
        late = bool(most) and age > most
        detail = "no status yet" if self.status is None else f"{len(self.status.alarms)} alarms"
        if self.status is not None and self.status.trouble:
            detail = f"{detail}; {self.status.trouble}"
        for each in self.status.consumers if self.status is not None else ():
            detail = f"{detail}; {each.name} fails: {each.failure}" if each.failure else detail
        fix = "Look at the auditor's log (logger authz.auditor) and at `authz audit verify`" if late else ""
        return Check("auditor", ok=not late, detail=f"signed {age:.0f} s ago; {detail}", fix=fix)

    def _measure(self, status: AuditorStatus) -> None:
        now = self._clock.now()
        for each in status.streams:
            AUDIT_CHECKPOINT_AGE_SECONDS.labels(each.stream).set(max(0.0, now - each.covered_at))
            AUDIT_LAG_RECORDS.labels(each.stream).set(each.lag_records)
        for consumer in status.consumers:
            AUDIT_CONSUMER_LAG_RECORDS.labels(consumer.name).set(consumer.lag_records)
            AUDIT_CONSUMER_FAILING.labels(consumer.name).set(consumer.failure is not None)
        AUDIT_ALARMS.set(len(status.alarms))
        self._raised.count(status, status.raised)
        self._forgotten.count(status, status.forgotten)
        outward = read_outward(status.outward)
        for one in (*outward.witnesses, *outward.anchors):
            age = AUDIT_WITNESS_AGE_SECONDS if one.kind == "witness" else AUDIT_ANCHOR_AGE_SECONDS
            age.labels(one.name).set(max(0.0, now - one.time))
            AUDIT_HISTORY_DISAGREES.labels(one.name).set(one.disagrees)
