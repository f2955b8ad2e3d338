"""What the ledger's tests share: a clock to turn, a disk that fails on command, and the one checker."""

import errno
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from authz.audit import Files, LedgerWriter, WriterLimits, verify
from authz.audit.device import ReadBack
from authz.audit.extent import extents, lines_forward
from authz.core import Event

STREAM = "main"


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


class StoppedClock:
    """A clock that stands until it is set."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def elapsed(self) -> float:
        return self.time


class FaultyFiles(Files):
    """A disk that fails where it is told to: `fail("fdatasync", errno.EIO)` makes the next call fail.

    `log` holds the operations that make durable, in order, `written` the sizes of the writes. What a failed fdatasync
    lost stays in the cache, as it does on Linux: ordinary reads show it, and reads past the cache show zeros.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.written: list[int] = []
        self.most_bytes: int | None = None
        self.sync_seconds = 0.0
        self.room_bytes: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._faults: dict[str, list[int | None]] = {}
        self._durable: dict[int, int] = {}
        """Bytes on the device, by inode."""
        self._lost: dict[int, tuple[int, int]] = {}

    def fail(self, operation: str, *codes: int | None) -> None:
        """The next calls of the operation: an errno each, None for a call that works."""
        self._faults.setdefault(operation, []).extend(codes)

    def forgive(self) -> None:
        """The disk is healthy from now on."""
        self._faults.clear()
        self.most_bytes = None

    def _enter(self, operation: str) -> None:
        self.log.append(operation)
        self._fault(operation)

    def _fault(self, operation: str) -> None:
        faults = self._faults.get(operation)
        code = faults.pop(0) if faults else None
        if code is not None:
            raise OSError(code, errno.errorcode[code])

    def create(self, path: Path) -> int:
        self._enter("create")
        fd = super().create(path)
        self._lost.pop(os.fstat(fd).st_ino, None)  # a number that another file had
        self._durable[os.fstat(fd).st_ino] = 0
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._enter("write")
        self.written.append(len(data))
        return super().write(fd, data if self.most_bytes is None else data[: self.most_bytes])

    def fdatasync(self, fd: int) -> None:
        self.gate.wait(10)
        time.sleep(self.sync_seconds)
        before = os.fstat(fd)
        try:
            self._enter("fdatasync")
        except OSError:
            self._lost[before.st_ino] = self._durable.get(before.st_ino, 0), before.st_size
            raise
        super().fdatasync(fd)
        self._durable[before.st_ino] = before.st_size

    def read_back(self, path: Path) -> ReadBack:
        self._fault("read_back")
        found = super().read_back(path)
        start, end = self._lost.get(path.stat().st_ino, (0, 0))
        return found._replace(data=found.data[:start] + bytes(end - start) + found.data[end:])

    def allocate(self, fd: int, size_bytes: int) -> None:
        self._fault("allocate")
        super().allocate(fd, size_bytes)

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.room_bytes is None else self.room_bytes

    def open_mark(self, path: Path) -> int:
        self._fault("open_mark")
        return super().open_mark(path)

    def overwrite(self, fd: int, data: bytes) -> None:
        self._fault("overwrite")
        super().overwrite(fd, data)

    def sync_directory(self, path: Path) -> None:
        self._enter("sync_directory")
        super().sync_directory(path)


def event(event_id: str, **fields: object) -> Event:
    """A small event of a type that requires a subject only."""
    return Event(event_id, "memory.accessed", {"subject": "h1:k:s", **fields})


def writer(
    directory: Path,
    *,
    files: Files | None = None,
    limits: WriterLimits | None = None,
    on_health: Callable[[str | None], None] = lambda _failure: None,
) -> LedgerWriter:
    """A writer of the one stream the tests use."""
    return LedgerWriter(directory, STREAM, clock=SystemClock(), files=files, limits=limits, on_health=on_health)


def lines(directory: Path) -> list[bytes]:
    """Every record that counts, oldest first, without LF."""
    counted = (lines_forward(each.path, each.counted_bytes) for each in extents(directory / STREAM))
    return [line[:-1] for segment in counted for line in segment if line.endswith(b"\n")]


def records(directory: Path) -> list[dict[str, object]]:
    """The same, parsed in the plainest way."""
    return [json.loads(line) for line in lines(directory)]


def ids(directory: Path) -> list[object]:
    """The ids of the tests' own events, oldest first."""
    return [record["id"] for record in records(directory) if record["type"] == "memory.accessed"]


def assert_sound(directory: Path, acknowledged: Iterable[str]) -> None:
    """The promise, after whatever happened: verification is clean and each acknowledged event is there once."""
    assert verify(directory).issues == ()
    counted = Counter(ids(directory))
    assert {event_id: counted[event_id] for event_id in acknowledged} == dict.fromkeys(acknowledged, 1)
    assert max(counted.values(), default=1) == 1
