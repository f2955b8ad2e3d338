"""The thread that owns a stream's open segment: it writes, makes durable, and reports back.

Only this thread touches the segment. It takes records and commands from one queue, in order, and knows nothing of
futures or of the event loop.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from authz.audit.disk import Ballast
from authz.audit.durable import Mark, MarkWriter
from authz.audit.files import Files
from authz.audit.lock import StreamLock
from authz.audit.record import Chain
from authz.audit.recovery import GROUP_BYTES, Recovery, Tail, recover, tail_after
from authz.audit.segment import (
    SEALED_MODE,
    Reason,
    Segment,
    first_seq,
    make_directory,
    segment_name,
    segment_names,
    segment_open,
    set_aside,
    stream_directory,
)
from authz.core import Clock


@dataclass(frozen=True, slots=True)
class Open:
    """Command: find the end of the stream and open a segment after it. `last`: for the last records of this life."""

    last: bool = False


@dataclass(frozen=True, slots=True)
class Rotate:
    """Command: seal the segment, whose last record closed it, and begin the next one with this record."""

    name: str
    first_line: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """Command: let go of segment and stream, and end. `seal`: the last record closed the segment."""

    seal: bool = False


Item = list[bytes] | Open | Rotate | Stop
"""Records of one turn of the loop, in order, or a command."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Report: the stream can take records. `chain` stands after the first record of the segment, and is given away."""

    chain: Chain
    name: str
    length: int
    recovery: Recovery


@dataclass(frozen=True, slots=True)
class Committed:
    """Report: the oldest `records` are on the device; they are `size_bytes` long, LFs not counted.

    `seconds`: how long the device took for them.
    """

    records: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Report: every record not yet committed is lost or in doubt, and so is any put before the next Open.

    `found`: it is known where the stream stands, so that another Open may do.
    """

    error: Exception
    found: bool = True


@dataclass(frozen=True, slots=True)
class Troubled:
    """Report: something beside the records fails, or works again (None). No record is lost by it."""

    what: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Report: the stream is free and the thread is about to end."""


Report = Opened | Committed | Failed | Troubled | Stopped


class Committer:
    """One stream's writer. It lives in the thread that calls `run`, and calls `report` there, in order."""

    def __init__(
        self,
        directory: Path,
        stream: str,
        queue: "SimpleQueue[Item]",
        report: Callable[[Report], None],
        *,
        clock: Clock,
        files: Files,
        ballast_bytes: int = 0,
    ) -> None:
        self._directory = stream_directory(directory, stream)
        self._stream = stream
        self._queue = queue
        self._report = report
        self._clock = clock
        self._files = files
        self._lock: StreamLock | None = None
        self._segment: Segment | None = None
        self._tail: Tail | None = None
        self._last_line = b""
        self._last_seq = 0
        self._mark = MarkWriter(self._directory, files)
        self._ballast = Ballast(self._directory, ballast_bytes, files)
        self._troubles: dict[str, str | None] = {}
        self._held: Item | None = None
        """Taken from the queue and not yet done: it must outlive a failure of the group before it."""

    def run(self) -> None:
        """Take records and commands until told to stop."""
        while not isinstance(item := self._next(), Stop):
            try:
                self._take(item)
            except Exception as error:  # noqa: BLE001 - whatever it was, nothing chained after it may be acknowledged
                self._poison(error)
        self._let_go(seal=item.seal)
        self._report(Stopped())

    def disown(self) -> None:
        """In the child of a fork: drop its share of the files, so that they stay the parent's alone."""
        self._let_go(seal=False)

    def _next(self) -> Item:
        item, self._held = self._held, None
        return self._queue.get() if item is None else item

    def _take(self, item: Item) -> None:
        match item:
            case list():
                self._commit(item)
            case Open():
                if item.last:
                    self._ballast.give_free()
                self._open(last=item.last)
            case Rotate():
                self._rotate(item)

    def _commit(self, lines: list[bytes]) -> None:
        """One group: these records and what waits behind them, in one write and one fdatasync."""
        segment = self._segment
        if segment is None:
            return  # chained to a record that was lost; its caller has been told
        group, size = list(lines), sum(map(len, lines))
        while not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, list) or size + sum(map(len, item)) + len(group) + len(item) > GROUP_BYTES:
                self._held = item
                break
            group += item
            size += sum(map(len, item))
        started = self._clock.elapsed()
        segment.append(b"\n".join((*group, b"")))
        seconds = self._clock.elapsed() - started
        self._last_line = group[-1]
        self._last_seq += len(group)
        self._mark_durable(segment)
        self._report(Committed(len(group), size, seconds))

    def _open(self, *, last: bool) -> None:
        """The first time what counts is read from disk; after a failure it is what was reported as committed."""
        failed = self._tail is not None
        recovery = self._recover() if self._tail is None else self._resume(self._tail)
        tail = recovery.tail
        chain = Chain(self._clock, seq=tail.seq, prev=tail.prev, at=tail.at)
        orderly = tail.closed or tail.segment is None
        reason: Reason = "start" if orderly and not recovery.set_aside and not failed else "recover"
        event = segment_open(self._stream, reason, tail.segment, tail.counted_bytes, recovery.set_aside)
        line = chain.append(event)
        name = segment_name(chain.seq)
        self._begin(name, line)
        if tail.segment is not None:
            with suppress(OSError):
                (self._directory / tail.segment).chmod(SEALED_MODE)
        self._report(Opened(chain, name, len(line) + 1, recovery))
        if not last:
            self._tell_of("ballast", self._ballast.keep())

    def _recover(self) -> Recovery:
        make_directory(self._directory, self._files)
        if self._lock is None:
            self._lock = StreamLock.take(self._directory)
        recovery = recover(self._directory, self._files)
        self._tail = recovery.tail
        return recovery

    def _resume(self, tail: Tail) -> Recovery:
        later = [name for name in segment_names(self._directory) if name > (tail.segment or "")]
        return Recovery(tail, set_aside=tuple(set_aside(self._directory, name) for name in later))

    def _rotate(self, command: Rotate) -> None:
        finished = self._segment
        if finished is None:
            return  # chained to a record that was lost
        self._tail = tail_after(finished.path.name, finished.length, self._last_line)
        self._segment = None
        finished.seal()
        started = self._clock.elapsed()
        self._begin(command.name, command.first_line)
        self._report(Committed(1, len(command.first_line), self._clock.elapsed() - started))

    def _begin(self, name: str, first_line: bytes) -> None:
        self._segment = Segment.create(self._directory / name, first_line, self._files)
        self._last_line = first_line
        self._last_seq = first_seq(name)
        self._mark_durable(self._segment)

    def _mark_durable(self, segment: Segment) -> None:
        self._mark.write(Mark(segment.first_seq, segment.length, self._last_seq))
        self._tell_of("durable mark", self._mark.failure)

    def _tell_of(self, what: str, failure: str | None) -> None:
        """Only what has changed is news."""
        if failure != self._troubles.get(what):
            self._troubles[what] = failure
            self._report(Troubled(what, failure))

    def _poison(self, error: Exception) -> None:
        """Never write to the segment again, nor sync it: remember what counts in it and let go."""
        if self._segment is not None:
            self._tail = tail_after(self._segment.path.name, self._segment.length, self._last_line)
            self._segment.abandon()
            self._segment = None
        self._report(Failed(error, found=self._tail is not None))

    def _let_go(self, *, seal: bool) -> None:
        """Each file is closed once: its number may be another file's by the time this object is forked with."""
        segment, self._segment = self._segment, None
        if segment is not None:
            with suppress(OSError):
                segment.seal() if seal else segment.abandon()
        self._mark.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()
