"""The writer of one stream: many concurrent callers, one group commit after another.

The event loop encodes, numbers and chains; a thread of its own writes and makes durable. While one fdatasync runs the
next group forms, so there is no waiting for company. The two halves share one queue and nothing else; what comes up in
turns of the loop that follow one another is handed over together, because each waking of the thread costs both a fight
for the interpreter. A turn that brings nothing ends the gathering, so a lone caller waits for nobody.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import register_at_fork
from pathlib import Path
from queue import SimpleQueue

from authz.audit.clock_watch import ClockWatch
from authz.audit.committer import (
    Committed,
    Committer,
    Failed,
    Item,
    Open,
    Opened,
    Report,
    Rotate,
    Stop,
    Stopped,
    Troubled,
)
from authz.audit.files import Files
from authz.audit.limits import WriterLimits
from authz.audit.pending import Pending
from authz.audit.record import Chain
from authz.audit.recovery import GROUP_BYTES, Recovery
from authz.audit.segment import SegmentClose, ledger_event, segment_name, segment_open
from authz.core import AuditUnavailableError, Clock, Event, OverloadedError

_GATHERED_BYTES = GROUP_BYTES // 4
"""More than this is handed over in parts, so that a group keeps its bound."""

_GATHERED_RECORDS = 128
"""With so many an fdatasync (0.1 ms of CPU) costs each record next to nothing; more would only wait longer."""


@dataclass(slots=True)
class _Current:
    """The segment the chain is in, as the loop sees it: `length` counts what was handed over, durable or not."""

    name: str
    first_seq: int
    length: int
    until: int
    """In microseconds since the epoch."""


def _nobody(_told: object) -> None:
    """The listener of those who ask for themselves, or do not want to know."""


class LedgerWriter:
    """Keeps the promise of `authz.core.Ledger` for one stream.

    `directory` is the audit directory, `<state>/audit`; the stream has a directory of its own in it. All methods
    belong to the event loop that called `open`. A writer is opened once and closed once.

    What `record` acknowledged survives kill -9, and power loss where the device keeps the promise of fdatasync. A
    crash of this process may leave records of which nobody was told: the ledger may hold more than was acknowledged,
    never less. After any error of the device nothing more is written to the segment, everything that waits fails, and
    a new segment is begun that says how much of the old one counts; until that works every call fails.

    `on_health` is called on the loop with each failure, and with None when the writer is well again; `on_commit` with
    the seconds that the device took for each group of records.
    """

    def __init__(
        self,
        directory: Path,
        stream: str,
        *,
        clock: Clock,
        files: Files | None = None,
        limits: WriterLimits | None = None,
        on_health: Callable[[str | None], None] = _nobody,
        on_commit: Callable[[float], None] = _nobody,
    ) -> None:
        self.stream = stream
        self.recovery: Recovery | None = None
        """How the stream was found when it was last opened; `recovery.damage` is worth an alarm."""
        self.troubles: dict[str, str] = {}
        """What fails beside the records, and why: `durable mark`, `ballast`. Records are durable all the same."""
        self.written_bytes = 0
        """What this writer has made durable."""
        self._limits = limits or WriterLimits()
        self._clock = clock
        self._on_health = on_health
        self._on_commit = on_commit
        self._pending = Pending(self._limits.pending_records, self._limits.pending_bytes)
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._gathered: list[bytes] = []
        """Chained and not yet handed over."""
        self._gathered_bytes = 0
        self._committer = Committer(
            directory,
            stream,
            self._queue,
            self._tell,
            clock=clock,
            files=files or Files(),
            ballast_bytes=self._limits.ballast_bytes,
        )
        self._loop: asyncio.AbstractEventLoop
        self._opened: asyncio.Future[None]
        self._stopped: asyncio.Future[None]
        self._started = self._patient = False
        self._answer: asyncio.Future[None] | None = None
        """Done when the last Open command was answered, one way or the other."""
        self._closed = False
        self._chain: Chain | None = None
        self._current: _Current
        self._failure: str | None = "it is not open"
        self._progress_at = 0.0
        self._retry_after_seconds = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._clock_check: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded now; None when all is well."""
        if self._failure is None and self._stalled_seconds() > self._limits.stall_seconds:
            return f"the device has not answered for {self._stalled_seconds():.0f} s"
        return self._failure

    @property
    def healthy(self) -> bool:
        """Whether records can be made durable, as far as is known."""
        return self.failure is None

    @property
    def pending(self) -> int:
        """How many records wait for the device."""
        return len(self._pending)

    async def open(self, *, patient: bool = False) -> None:
        """Take the stream, find where it stands, begin a segment. Durable when it returns.

        `patient`: where the stream could be read and only the new segment fails, as on a full disk, return all the
        same and go on trying; `failure` says so. Raises AuditUnavailableError when another process writes the stream
        or the device fails.
        """
        if self._started:
            raise AuditUnavailableError("This ledger writer was opened before; make a new one")
        self._started, self._patient = True, patient
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._stopped = self._loop.create_future()
        _disown_after_fork(weakref.ref(self))
        threading.Thread(target=self._committer.run, name=f"ledger-{self.stream}", daemon=True).start()
        self._open_segment()
        try:
            await self._opened
        except BaseException as error:
            self._closed = True
            self._queue.put(Stop())
            if isinstance(error, AuditUnavailableError):
                # Whoever tries again finds the stream free, however soon.
                await self._stopped
            raise
        self._clock_check = asyncio.create_task(self._watch_clock(), name=f"ledger-clock-{self.stream}")

    async def record(self, event: Event) -> None:
        """Return when the event is durable. A caller that is cancelled meanwhile leaves its record in the ledger.

        Raises AuditUnavailableError, OverloadedError, RecordTooLargeError or InvalidEventError.
        """
        chain = self._ready(1)
        await self._put(chain, chain.append(event))

    async def record_all(self, events: Sequence[Event]) -> None:
        """Return when all the events are durable, in this order and with none between them.

        Raises as `record` does. InvalidEventError and RecordTooLargeError come before anything was chained; after
        AuditUnavailableError some of the events may be in the ledger.
        """
        chain = self._ready(len(events))
        lines = chain.append_all(events)
        if not lines:
            return
        self._hand_over_all(lines[:-1])
        await self._put(chain, lines[-1])

    async def make_way(self) -> bool:
        """For the last records of a life: if the ledger fails, give the ballast free and open it once more.

        True when it takes records; a disk that was full has room for a few then.
        """
        if self._answer is not None:
            await asyncio.shield(self._answer)
        if self._failure is not None and self._answer is not None and not self._closed:
            if self._retry is not None:
                self._retry.cancel()
            await asyncio.shield(self._open_segment(last=True))
        return self._failure is None

    async def close(self, reason: str = "shutdown") -> None:
        """Record the end of the segment, wait until everything is durable, give the stream free.

        Raises AuditUnavailableError when the end could not be recorded; the stream is free all the same.
        """
        if not self._started:
            return
        for waiting in (self._retry, self._clock_check):
            if waiting is not None:
                waiting.cancel()
        chain, self._chain, self._closed = self._chain, None, True
        ended = self._loop.create_future()
        if chain is None:
            ended.set_result(None)
        else:
            self._failure = "it is closed"
            self._close_segment(chain, reason, ended)
        self._command(Stop(seal=True))
        await asyncio.shield(self._stopped)
        await ended

    async def _watch_clock(self) -> None:
        """Record each step of the clock; one that cannot be recorded now is recorded later."""
        watch = ClockWatch(self._clock)
        while True:
            await asyncio.sleep(self._limits.clock_seconds)
            step = watch.step()
            if step is not None:
                with suppress(AuditUnavailableError, OverloadedError):
                    await self.record(ledger_event("audit.clock_step", step))
                    watch.recorded(step)

    def _stalled_seconds(self) -> float:
        return self._clock.elapsed() - self._progress_at if self._pending else 0.0

    def _ready(self, records: int) -> Chain:
        if self._chain is None:
            raise AuditUnavailableError(f"The ledger takes no records: {self._failure}")
        self._pending.make_room(records)
        return self._chain

    def _put(self, chain: Chain, line: bytes) -> "asyncio.Future[None]":
        """Hand the record over; the future is done when it is durable."""
        ack = self._loop.create_future()
        self._hand_over(line, ack)
        if self._current.length >= self._limits.segment_bytes or chain.at >= self._current.until:
            self._rotate(chain)
        return ack

    def _hand_over(self, line: bytes, ack: "asyncio.Future[None] | None" = None) -> None:
        if not self._pending:
            self._progress_at = self._clock.elapsed()
        self._pending.add(len(line), ack)
        self._current.length += len(line) + 1
        if not self._gathered:
            self._loop.call_soon(self._end_turn, self._gathered, 0)
        self._gathered.append(line)
        self._gathered_bytes += len(line)
        if self._gathered_bytes >= _GATHERED_BYTES or len(self._gathered) >= _GATHERED_RECORDS:
            self._deliver()

    def _hand_over_all(self, lines: list[bytes]) -> None:
        """`_hand_over` for the first records of a batch, of which only the last one has anybody waiting."""
        if not lines:
            return
        if not self._pending:
            self._progress_at = self._clock.elapsed()
        size = sum(map(len, lines))
        self._pending.add_all(len(lines), size)
        self._current.length += size + len(lines)
        for at in range(0, len(lines), _GATHERED_RECORDS):
            if not self._gathered:
                self._loop.call_soon(self._end_turn, self._gathered, 0)
            part = lines[at : at + _GATHERED_RECORDS]
            self._gathered += part
            self._gathered_bytes += sum(map(len, part))
            if self._gathered_bytes >= _GATHERED_BYTES or len(self._gathered) >= _GATHERED_RECORDS:
                self._deliver()

    def _end_turn(self, gathered: list[bytes], seen: int) -> None:
        """Deliver what was gathered if this turn of the loop added nothing to the `seen` records."""
        if gathered is not self._gathered:
            return  # delivered meanwhile
        if len(gathered) > seen:
            self._loop.call_soon(self._end_turn, gathered, len(gathered))
        else:
            self._deliver()

    def _deliver(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered, self._gathered_bytes = [], 0

    def _command(self, command: Open | Rotate | Stop) -> None:
        """Commands keep their place among the records."""
        self._deliver()
        self._queue.put(command)

    def _close_segment(self, chain: Chain, reason: str, ack: "asyncio.Future[None] | None" = None) -> None:
        records = chain.seq + 2 - self._current.first_seq
        event = ledger_event("audit.segment_close", SegmentClose(records, reason))
        self._hand_over(chain.append(event), ack)

    def _rotate(self, chain: Chain) -> None:
        """Close the segment and open the next one: two records of the same chain, in two files."""
        self._close_segment(chain, "rotate")
        finished = self._current
        line = chain.append(segment_open(self.stream, "rotate", finished.name, finished.length))
        name = segment_name(chain.seq)
        self._pending.add(len(line))
        self._command(Rotate(name, line))
        self._enter(chain, name, len(line) + 1)

    def _enter(self, chain: Chain, name: str, length: int) -> None:
        """The chain goes on in a segment of which only the first record is there."""
        until = chain.at + int(self._limits.segment_seconds * 1e6)
        self._current = _Current(name, chain.seq, length, until)

    def _tell(self, report: Report) -> None:
        """In the committer's thread: bring its report to the loop."""
        try:
            self._loop.call_soon_threadsafe(self._heard, report)
        except RuntimeError:  # the loop was closed: what is written stays, and nobody is left to be told
            self._queue.put(Stop())

    def _heard(self, report: Report) -> None:
        match report:
            case Committed():
                self._progress_at = self._clock.elapsed()
                self._retry_after_seconds = 0.0
                self.written_bytes += report.size_bytes + report.records
                self._pending.resolve(report.records, report.size_bytes)
                self._on_commit(report.seconds)
            case Opened():
                self._begin(report)
            case Failed():
                self._fail(report)
            case Troubled():
                self.troubles.pop(report.what, None)
                if report.failure is not None:
                    self.troubles[report.what] = report.failure
            case Stopped():
                self._stopped.set_result(None)

    def _begin(self, opened: Opened) -> None:
        self.recovery = opened.recovery
        self._answered()
        if self._closed:
            return
        self._chain, self._failure = opened.chain, None
        self._enter(opened.chain, opened.name, opened.length)
        if not self._opened.done():
            self._opened.set_result(None)
        self._on_health(None)

    def _fail(self, failed: Failed) -> None:
        """Nothing that waits will be acknowledged. A writer that was open once tries to open again."""
        if self._chain is None:
            self._answered()
        self._chain = None
        self._failure = str(failed.error) or type(failed.error).__name__
        self._pending.fail(f"The record is not durable: {self._failure}")
        if self._patient and failed.found and not self._opened.done():
            self._opened.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(AuditUnavailableError(f"The ledger cannot be opened: {self._failure}"))
        elif not self._closed:
            self._open_again()
        self._on_health(self._failure)

    def _open_segment(self, *, last: bool = False) -> "asyncio.Future[None]":
        self._answer = self._loop.create_future()
        self._command(Open(last))
        return self._answer

    def _answered(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _open_again(self) -> None:
        """Each try leaves a segment on disk if it works: a disk that takes those but no records must not be filled."""
        delay_seconds, limits = self._retry_after_seconds, self._limits
        self._retry_after_seconds = min(max(2 * delay_seconds, limits.retry_seconds), limits.retry_most_seconds)
        self._retry = self._loop.call_later(delay_seconds, self._open_segment)

    def disown(self) -> None:
        """In a forked child: there is no writer thread here and no right to the stream. The parent goes on."""
        self._chain, self._failure, self._started = None, "this process was forked from its writer", False
        self._committer.disown()


def _disown_after_fork(writer: "weakref.ref[LedgerWriter]") -> None:
    def disown() -> None:
        forked = writer()
        if forked is not None:
            forked.disown()

    register_at_fork(after_in_child=disown)
