"""Where a stream stands, read back from disk: the ordinary path at every start, crash or not.

What a crash leaves is of two kinds: a last line without its LF (kill -9), and holes of NUL bytes among the last group
written (power loss). Both stay on disk as evidence and do not count. Complete lines that chain are adopted, whether
they had been acknowledged or not: the ledger may hold more than was delivered, never less. Anything else that does
not fit is damage, not a crash: the stream goes on after it, and verification keeps naming it.

The bytes are read past the page cache: after a failed fdatasync in a process that then died, the cache can show lines
that are not on the device. Where the file system refuses that, the recovery says so (`past_cache`).
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.device import ReadBack
from authz.audit.files import Files
from authz.audit.record import ORIGIN, PREV, chain_hash, microseconds, read_header
from authz.audit.segment import first_seq, segment_names, set_aside
from authz.audit.stored import open_segment

GROUP_BYTES: Final = 1 << 20
"""Most that is written between two fdatasyncs, and so the most in which power loss can leave holes."""


class Tail(NamedTuple):
    """The end of what counts in a stream.

    `segment`: the last segment in which something counts, None in an empty stream; `counted_bytes`: how much of it;
    `seq`, `prev`, `at`: number, hash and time (microseconds) of the last record; `closed`: it is a segment_close.
    """

    segment: str | None = None
    counted_bytes: int = 0
    seq: int = 0
    prev: bytes = ORIGIN
    at: int = 0
    closed: bool = False


class Recovery(NamedTuple):
    """What recovery found. `damage`: one sentence each, for the log; nothing in it stops the stream.

    `past_cache`: what was read is on the device; False where the file system allows ordinary reads only.
    """

    tail: Tail
    ignored_bytes: int = 0
    set_aside: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    past_cache: bool = True


def recover(directory: Path, files: Files) -> Recovery:
    """Find the end of the stream in `directory`. The caller holds the stream's lock.

    No more is read than the last segment in which something counts; those after it, in which nothing does, are renamed
    out of the way. What counts is on the device when this returns.
    Raises OSError; after that, only a new process may try again.
    """
    voided: list[str] = []
    for name in reversed(segment_names(directory)):
        found = _recover_segment(directory / name, files)
        if found is not None:
            return found._replace(set_aside=tuple(reversed(voided)))
        voided.append(set_aside(directory, name))
    return Recovery(Tail(), set_aside=tuple(reversed(voided)))


def tail_after(segment: str, counted_bytes: int, line: bytes) -> Tail:
    """The tail that ends with this record."""
    header = read_header(line)
    closed = header.type == "audit.segment_close"
    return Tail(segment, counted_bytes, header.seq, chain_hash(line), microseconds(header.ts), closed)


def _recover_segment(path: Path, files: Files) -> Recovery | None:
    """The end of one segment, or None when nothing in it counts."""
    data, past_cache = _read(path, files)
    counted = _counted(data)
    lines = data[:counted].split(b"\n")[:-1]
    if not lines:
        return None
    damage = tuple(f"{path.name}, line {number}: {what}" for number, what in _breaks(lines))
    return Recovery(_tail(path.name, counted, lines), len(data) - counted, damage=damage, past_cache=past_cache)


def _read(path: Path, files: Files) -> ReadBack:
    """The whole segment. Adopted lines must not be lost later: they go to the device before anything chains to them.

    A compressed one was made durable before its raw file was removed.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        with open_segment(path) as file:
            return ReadBack(file.read(), past_cache=True)
    try:
        files.fdatasync(fd)
    finally:
        os.close(fd)
    return files.read_back(path)


def _counted(data: bytes) -> int:
    """How many bytes count: up to the last LF, or up to the line with a hole in the last group.

    A whole segment_close after the hole proves nothing: it may be of that group too.
    """
    end = data.rfind(b"\n") + 1
    hole = data.find(b"\0", max(0, end - GROUP_BYTES), end)
    return end if hole < 0 else data.rfind(b"\n", 0, hole) + 1


def _breaks(lines: list[bytes]) -> list[tuple[int, str]]:
    """Lines that are not what the next one was chained to."""
    broken = []
    for number, (line, successor) in enumerate(pairwise(lines), 1):
        if successor[PREV] != chain_hash(line):
            broken.append((number, "not the line that the next one was chained to"))
    return broken


def _tail(name: str, counted: int, lines: list[bytes]) -> Tail:
    """The tail; a last line that cannot be read is numbered by counting on from the last one that can."""
    for distance, line in enumerate(reversed(lines)):
        try:
            tail = tail_after(name, counted, line)
        except ValueError:
            continue
        if distance == 0:
            return tail
        return tail._replace(seq=tail.seq + distance, prev=chain_hash(lines[-1]), closed=False)
    return Tail(name, counted, first_seq(name) + len(lines) - 1, chain_hash(lines[-1]))
