"""Records of a stream by their numbers, wherever they lie: a few reads in one segment, not a pass over it."""

import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from authz.audit.location import LedgerDamagedError
from authz.audit.record import MAX_RECORD_BYTES, read_header
from authz.audit.segment import first_seq, segment_names
from authz.audit.stored import open_segment

_WINDOW_BYTES: Final = 4 * MAX_RECORD_BYTES
"""Read through from here on: no more than a line or two of the longest kind, some hundred of the usual one."""


def records(directory: Path, first: int, count: int) -> list[bytes]:
    """The records numbered `first` and following of the stream in `directory`, without their LFs.

    Fewer than `count` where one of them is not there. They are as they lie on disk, and not compared with any tree.
    Raises LedgerDamagedError where something else stands in the place of one, OSError.
    """
    found: list[bytes] = []
    names = segment_names(directory)
    at = max(bisect_right([first_seq(name) for name in names], first) - 1, 0)
    for number, name in enumerate(names[at:], at):
        if len(found) == count or first_seq(name) > first + len(found):
            break
        until = first_seq(names[number + 1]) if number + 1 < len(names) else first + count
        found += _part(directory / name, first + len(found), min(until, first + count))
    return found


def _part(path: Path, first: int, until: int) -> list[bytes]:
    """The records of one segment from number `first` up to, not including, `until`, as far as they are there."""
    found: list[bytes] = []
    with open_segment(path, io.DEFAULT_BUFFER_SIZE) as file:
        _go_near(file, first)
        for line in _lines(file):
            seq = _seq(line)
            if found and seq != first + len(found):
                raise LedgerDamagedError(
                    f"{path.parent.name}/{path.name}: not record {first + len(found)}, where it belongs"
                )
            if found or seq == first:
                found.append(line)
            if len(found) == until - first or (seq is not None and seq > first and not found):
                break
    return found


def _go_near(file: BinaryIO, seq: int) -> None:
    """To the beginning of a line that is not after the record with this number, and not far before it."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > _WINDOW_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(MAX_RECORD_BYTES + 1)
        start = file.tell()
        found = _seq(next(_lines(file), b""))
        if found is not None and found <= seq:
            low = start
        else:
            high = middle
    file.seek(low)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The complete lines from here on, without LF; one that is too long comes in pieces, which are no records."""
    while line := file.readline(MAX_RECORD_BYTES + 1):
        if line.endswith(b"\n"):
            yield line[:-1]
        elif len(line) > MAX_RECORD_BYTES:
            yield line


def _seq(line: bytes) -> int | None:
    try:
        return read_header(line).seq
    except ValueError:
        return None
