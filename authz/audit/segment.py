"""A segment: one append-only file of a stream, named after the number of its first record.

    <audit directory>/<stream>/<first_seq, 12 digits>.jsonl

It begins with an `audit.segment_open` record, which says how many bytes of the segment before it count. Nothing is
ever truncated or rewritten. A segment in which nothing counts is set aside under another name (`.void`).
"""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final, Literal

import msgspec
from msgspec import Struct

from authz.audit.files import Files
from authz.audit.record import read_header
from authz.core import ConfigurationError, Event

FORMAT: Final = "authz-ledger/1"
SEALED_MODE: Final = 0o440

Reason = Literal["start", "rotate", "recover"]

_NAME: Final = re.compile(r"([0-9]{12}\.jsonl)(?:\.zst)?")
_VOID: Final = re.compile(r"[0-9]{12}\.void(-[0-9]+)?")
_STREAM: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class SegmentOpen(Struct, frozen=True, kw_only=True):
    """Body of `audit.segment_open`, the first record of every segment.

    `previous_bytes`: how many bytes of `previous_segment` count; what stands after them is no part of the ledger.
    `set_aside`: segments in which nothing counts. `checkpoint`: the last one seen when the segment was opened.
    """

    format: str
    stream: str
    boot_id: str | None
    pid: int
    reason: Reason
    previous_segment: str | None
    previous_bytes: int
    set_aside: tuple[str, ...] = ()
    checkpoint: str | None = None


class SegmentClose(Struct, frozen=True):
    """Body of `audit.segment_close`: how many records the segment holds, this one included, and why it ends."""

    records: int
    reason: str


_decode = msgspec.json.Decoder(SegmentOpen).decode


def read_segment_open(line: bytes) -> SegmentOpen:
    """The statement in a segment's first record. Raises ValueError when the line is not such a record."""
    header = read_header(line)
    if header.type != "audit.segment_open":
        raise ValueError(f"not an audit.segment_open record but {header.type}")
    try:
        statement = _decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if statement.format != FORMAT:
        raise ValueError(f"its format is {statement.format}, not {FORMAT}")
    return statement


def boot_id() -> str | None:
    """The kernel's id of this boot, where it gives one."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def ledger_event(event_type: str, body: Struct) -> Event:
    """An event of the ledger itself, with an id of its own."""
    return Event(token_hex(16), event_type, body)


def segment_open(
    stream: str, reason: Reason, previous: str | None, previous_bytes: int, set_aside: tuple[str, ...] = ()
) -> Event:
    """The event that opens a segment in this process."""
    body = SegmentOpen(
        format=FORMAT,
        stream=stream,
        boot_id=boot_id(),
        pid=os.getpid(),
        reason=reason,
        previous_segment=previous,
        previous_bytes=previous_bytes,
        set_aside=set_aside,
    )
    return ledger_event("audit.segment_open", body)


def segment_name(first_seq: int) -> str:
    """The file name of the segment that begins with this record."""
    return f"{first_seq:012d}.jsonl"


def first_seq(name: str) -> int:
    """The number of a segment's first record, from its name."""
    return int(name[:12])


def segment_names(directory: Path) -> list[str]:
    """The names of a stream's segments, oldest first: always that of the raw file, also where it is compressed."""
    found = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted({name[1] for name in found if name is not None})


def void_names(directory: Path) -> list[str]:
    """The names of segments that were set aside."""
    return sorted(path.name for path in directory.iterdir() if _VOID.fullmatch(path.name))


def set_aside(directory: Path, name: str) -> str:
    """Rename a segment in which nothing counts, so that its name is free; returns the new name."""
    stem = f"{name[:12]}.void"
    taken = set(void_names(directory))
    new = stem
    number = 1
    while new in taken:
        number += 1
        new = f"{stem}-{number}"
    (directory / name).rename(directory / new)
    return new


def stream_directory(directory: Path, stream: str) -> Path:
    """The directory of a stream. Raises ConfigurationError for a name that cannot be one."""
    if not _STREAM.fullmatch(stream) or stream in {"audit", "tiles"}:
        raise ConfigurationError(
            f"audit stream {stream!r}: use a-z, 0-9, '_', '.', '-', at most 64, not 'audit', 'tiles'"
        )
    return directory / stream


def is_segment_of(stream: str, name: str) -> bool:
    """Whether these can be the names of a stream and of a raw segment: neither leads anywhere else."""
    return _STREAM.fullmatch(stream) is not None and _NAME.fullmatch(name) is not None and name.endswith(".jsonl")


def make_directory(directory: Path, files: Files) -> None:
    """Make a stream's directory and those above it, for their owner only, and make their names durable."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        files.sync_directory(path.parent)


class Segment:
    """An open segment. One thread owns it.

    `length` is the number of bytes known to be on the device: after an error in `append` it still is, and the segment
    must be abandoned.
    """

    def __init__(self, path: Path, fd: int, files: Files) -> None:
        self.path = path
        self.first_seq = first_seq(path.name)
        self.length = 0
        self._fd = fd
        self._files = files

    @classmethod
    def create(cls, path: Path, first_line: bytes, files: Files) -> "Segment":
        """A new segment holding its first record, durable under its name when this returns. Raises OSError.

        What a failed attempt leaves behind holds no event and is removed where that is possible.
        """
        segment = cls(path, files.create(path), files)
        try:
            segment.append(first_line + b"\n")
            files.sync_directory(path.parent)
        except OSError:
            segment.abandon()
            with suppress(OSError):
                path.unlink()
            raise
        return segment

    def append(self, data: bytes) -> None:
        """Return when the data is on the device. Raises OSError: then nothing is known about it."""
        rest = memoryview(data)
        while rest:
            written = self._files.write(self._fd, rest)
            if written == 0:
                raise OSError(errno.EIO, "the system took none of the bytes")
            rest = rest[written:]
        self._files.fdatasync(self._fd)
        self.length += len(data)

    def seal(self) -> None:
        """Close an orderly ended segment and take away the right to write to it."""
        try:
            os.fchmod(self._fd, SEALED_MODE)
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        """Let go of the file as it is. It stays on disk; whatever closing it reports changes nothing."""
        with suppress(OSError):
            os.close(self._fd)
