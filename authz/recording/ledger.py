"""The ledger as decisions see it: counted, strict or degraded, and refused where damage says stop.

In strict mode what cannot be recorded raises, and so becomes a 503. In degraded mode it is counted and goes out, and
as soon as the ledger takes records again one durable `audit.gap` says what is missing. Neither mode changes what was
decided.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from authz.audit import LedgerWriter, Recovery
from authz.core import AuditUnavailableError, Clock, Event, Ledger, OverloadedError
from authz.ids import IdSource
from authz.metrics import (
    AUDIT_DEGRADED,
    AUDIT_FAILURES_TOTAL,
    DecisionMeter,
)
from authz.recording.damage import Damage
from authz.recording.gap import Gap, decision_of, written
from authz.recording.mode import Degrading, Mode

_EVERY_SECONDS: Final = 1.0
_MOST_OWED: Final = 1000
_PATIENCE_SECONDS: Final = 5.0
_REMIND_SECONDS: Final = 10.0


class GuardedLedger:
    """Implements core.Ledger over the stream that `writer` writes. It belongs to one event loop."""

    def __init__(
        self,
        writer: LedgerWriter,
        meter: DecisionMeter,
        clock: Clock,
        mode: Mode,
        damage: Damage,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self.mode = mode
        self._writer = writer
        self._meter = meter
        self._clock = clock
        self._damage = damage
        self._patience_seconds = patience_seconds
        self._new_id = IdSource()
        self._log = structlog.get_logger("authz.recording")
        self._gap = Gap()
        self._owed: deque[Event] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._reminded_at = float("-inf")
        self._found: Recovery | None = None

        self.owing: Ledger = _Owing(self)
        """The same ledger for operators' acts: see `record_or_owe`."""

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded now; None when all is well."""
        return self._damage.stop or self._writer.failure

    @property
    def troubles(self) -> dict[str, str]:
        """What fails beside the records, and why; see LedgerWriter."""
        return self._writer.troubles

    @property
    def unrecorded(self) -> str:
        """What went out and no record says yet; empty when there is nothing."""
        return str(self._gap) if self._gap.lost else ""

    async def open(self) -> None:
        """Open the stream. In degraded mode a disk that is full does not keep the service from starting.

        Raises AuditUnavailableError.
        """
        await self._writer.open(patient=self.mode.degraded)
        self.look()

    async def record(self, event: Event) -> None:
        """See core.Ledger. In degraded mode it returns for what is only counted, too."""
        if self._damage.stop is not None:
            raise self._stopped(1)
        try:
            await (self._in_time((event,)) if self.mode.degraded else self._writer.record(event))
        except (AuditUnavailableError, OverloadedError) as error:
            AUDIT_FAILURES_TOTAL.inc()
            if not self.mode.degraded:
                raise
            self._lose(event, str(error))
            return
        self._meter.recorded(event)
        if self._gap.lost or self._owed:
            self.settle_soon()

    async def record_all(self, events: Sequence[Event]) -> None:
        """See core.Ledger. In degraded mode it returns for what is only counted, too."""
        if self._damage.stop is not None:
            raise self._stopped(len(events))
        try:
            await (self._in_time(events) if self.mode.degraded else self._writer.record_all(events))
        except (AuditUnavailableError, OverloadedError) as error:
            AUDIT_FAILURES_TOTAL.inc(len(events))
            if not self.mode.degraded:
                raise
            for event in events:
                self._lose(event, str(error))
            return
        for event in events:
            self._meter.recorded(event)
        if self._gap.lost or self._owed:
            self.settle_soon()

    async def record_reported(self, events: Sequence[Event]) -> None:
        """`record_all` that lets nothing go unrecorded, in degraded mode neither: whoever reports can send again.

        Raises as core.Ledger does: after AuditUnavailableError some may be in the ledger, after OverloadedError none.
        """
        if self._damage.stop is not None:
            raise self._stopped(len(events))
        try:
            await self._writer.record_all(events)
        except (AuditUnavailableError, OverloadedError):
            AUDIT_FAILURES_TOTAL.inc(len(events))
            raise
        for event in events:
            self._meter.recorded(event)

    async def record_or_owe(self, event: Event) -> None:
        """Record it now, or as soon as the ledger can: for what an operator does to a ledger that fails.

        It is said loudly in the log meanwhile, and may be recorded twice where the device hung. Denials, and what is
        too much, raise as in `record`.
        """
        try:
            await self._in_time((event,))
        except (AuditUnavailableError, OverloadedError) as error:
            AUDIT_FAILURES_TOTAL.inc()
            if decision_of(event) in ("deny", "error") or len(self._owed) >= _MOST_OWED:
                raise
            self._owed.append(event)
            self._meter.owed(event)
            self._log.critical("audit_record_owed", type=event.type, id=event.id, reason=str(error))
            return
        self._meter.recorded(event)

    async def degrade(self, asked: Degrading) -> str:
        """Let decisions go out unrecorded for so long, where they must; 0 seconds end that. Returns until when.

        The command is recorded, or owed, before it works. Raises BadRequestError, naming the field.
        """
        seconds, reason, by = asked.checked()
        until = written(self._clock.now() + seconds)
        self._log.critical("audit_degraded", seconds=seconds, reason=reason, by=by)
        body = {"until": until, "seconds": seconds, "reason": reason, "by": by}
        await self.record_or_owe(Event(self._new_id(), "audit.degraded", body))
        self.mode.degrade(asked)
        AUDIT_DEGRADED.set(self.mode.degraded)
        return until

    def settle_soon(self) -> None:
        """The ledger may take records again: say what is missing."""
        if (self._gap.lost or self._owed) and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self.settle(), name="audit-gap")

    async def settle(self) -> None:
        """Record what is owed, then the gap. What cannot be recorded now stays for the next time."""
        try:
            while self._owed:
                await self._writer.record(self._owed[0])
                self._meter.paid(self._owed.popleft())
            if self._gap.lost:
                await self._close_gap()
        except (AuditUnavailableError, OverloadedError) as error:
            self._log.error("audit_gap_open", reason=str(error), gap=self.unrecorded, owed=len(self._owed))

    async def close(self, last: Event, reason: str) -> None:
        """Record what is missing and the end, and give the stream free. A full disk gets its ballast back for that.

        Raises as core.Ledger does when the end could not be recorded; the stream is free all the same.
        """
        if self._settling is not None:
            await self._settling
        try:
            await self.settle()
            await self._end_with(last)
        finally:
            await self._writer.close(reason)

    async def _end_with(self, last: Event) -> None:
        try:
            await self._writer.record(last)
        except (AuditUnavailableError, OverloadedError):
            if not await self._writer.make_way():
                raise
            await self.settle()
            await self._writer.record(last)
        self._meter.recorded(last)

    async def watch(self) -> None:
        """Look every second until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            self.look()

    def look(self) -> None:
        """Once a second: end what is over, and remind of what is not as it should be."""
        self._say_found()
        over = self.mode.take_ended()
        if over:
            self._log.warning("audit_degraded_ended", command=over)
        AUDIT_DEGRADED.set(self.mode.degraded)
        if self.failure is None:
            self.settle_soon()
        now = self._clock.elapsed()
        if self._gap.lost and now - self._reminded_at >= _REMIND_SECONDS:
            self._reminded_at = now
            self._log.error("audit_unrecorded", gap=str(self._gap), failure=self.failure)

    def _say_found(self) -> None:
        """What the last opening of the stream found."""
        found = self._writer.recovery
        if found is None or found is self._found:
            return
        self._found = found
        if not found.past_cache:
            self._log.warning("audit_read_through_cache", stream=self._writer.stream)
        if found.ignored_bytes or found.set_aside:
            self._log.warning("audit_recovered", ignored_bytes=found.ignored_bytes, set_aside=found.set_aside)
        if found.damage:
            self._damage.found({self._writer.stream: found.damage}, by="recovery")

    def _stopped(self, records: int) -> AuditUnavailableError:
        AUDIT_FAILURES_TOTAL.inc(records)
        return AuditUnavailableError(self._damage.stop or "")

    async def _in_time(self, events: Sequence[Event]) -> None:
        """Record them, but wait for no device that hangs."""
        failure = self._writer.failure
        if failure is not None:
            raise AuditUnavailableError(failure)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._writer.record_all(events)
        except TimeoutError:
            raise AuditUnavailableError(f"The device has not answered for {self._patience_seconds:g} s") from None

    def _lose(self, event: Event, reason: str) -> None:
        if not self._gap.lost:
            self._log.error("audit_gap_begun", reason=reason, allowed_by=self.mode.allowed_by)
            self._reminded_at = self._clock.elapsed()
        decision = self._gap.add(event, self._clock.now(), reason, self.mode.allowed_by)
        self._meter.unrecorded(event, decision)

    async def _close_gap(self) -> None:
        """What is lost while its record is on its way belongs to the next gap, or to this one if that fails."""
        closing, self._gap = self._gap, Gap()
        try:
            await self._writer.record(Event(self._new_id(), "audit.gap", closing.body()))
        except (AuditUnavailableError, OverloadedError):
            closing.add_later(self._gap)
            self._gap = closing
            raise
        self._meter.audited("audit.gap")
        self._log.warning("audit_gap_recorded", gap=str(closing))


class _Owing:
    """Implements core.Ledger by `GuardedLedger.record_or_owe`: operators act one at a time, so each is owed alone."""

    def __init__(self, ledger: GuardedLedger) -> None:
        self.record = ledger.record_or_owe

    async def record_all(self, events: Sequence[Event]) -> None:
        """See core.Ledger."""
        for event in events:
            await self.record(event)
