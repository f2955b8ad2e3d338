"""What an evidence package shows of one stream: its records that match, in a log that withholds the others."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, NamedTuple

from authz.audit.evidence.covered import Covered, hash_readers
from authz.audit.evidence.leaves import numbered
from authz.audit.evidence.redacted import RedactedLog
from authz.audit.evidence.verify import WrongError, read_log
from authz.audit.extent import Extent, extents
from authz.audit.filters import Filter
from authz.audit.location import LedgerDamagedError
from authz.audit.query import read_event
from authz.tlog import TlogError, leaf_hash

Progress = Callable[[int], None]
"""Told how many bytes were read since the last time."""


class Selection(NamedTuple):
    """Of one stream: how many records are shown, number of the first and the last of them, and what they name.

    `uncovered`: how many match and are not under the checkpoint yet; those are left out.
    """

    covered: Covered
    shown: int
    first: int
    last: int
    uncovered: int
    revisions: frozenset[str]


def select(found: Covered, wanted: Filter, edge: int, path: Path, progress: Progress, *, compact: bool) -> Selection:
    """Write the log with what matches to `path`.

    `edge`: a size at which the log also gives its root. Raises LedgerDamagedError when the records are not those that
    were signed, OSError.
    """
    with closing(hash_readers(found)) as readers:
        for reader in readers:
            with path.open("w+b") as file:
                log = RedactedLog(file, reader, edge=edge, compact=compact)
                uncovered = _fill(log, found, wanted, progress)
                selection = None if uncovered is None else _read_back(file, found, uncovered)
            if selection is not None:
                return selection
    raise LedgerDamagedError(f"{found.stream}: the records are not those that were signed; see `authz audit verify`")


def count(directory: Path, wanted: Filter, progress: Progress) -> int:
    """How many records of a stream match. Raises OSError."""
    found = numbered(_within(extents(directory), wanted, progress))
    return sum(wanted.may_pass(line) and _matches(line, wanted) for _, line in found)


def _fill(log: RedactedLog, found: Covered, wanted: Filter, progress: Progress) -> int | None:
    """Write the log; returns how many records match and are not covered. None when the hashes cannot be used."""
    uncovered = 0
    try:
        for index, line in numbered(_within(extents(found.directory), wanted, progress)):
            matches = wanted.may_pass(line) and _matches(line, wanted)
            if index >= found.checkpoint.size:
                uncovered += matches
            elif matches:
                log.show(index, line)
            elif log.shown:
                log.withhold(leaf_hash(line))
        log.finish(found.checkpoint.size)
    except TlogError:
        return None
    return uncovered


def _within(segments: list[Extent], wanted: Filter, progress: Progress) -> Iterator[Extent]:
    """The segments that can hold what is wanted, by the times at which they begin."""
    for extent, after in zip(segments, [*segments[1:], None], strict=True):
        begins = "" if extent.header is None else extent.header.ts
        ends = "~" if after is None or after.header is None else after.header.ts
        if begins < wanted.until and wanted.since < ends:
            yield extent
        progress(extent.size_bytes)


def _matches(line: bytes, wanted: Filter) -> bool:
    event = read_event(line)
    return event is not None and wanted.passes(event)


def _read_back(file: IO[bytes], found: Covered, uncovered: int) -> Selection | None:
    """What is in the file, as whoever gets it will read it; None when that is not what was signed."""
    file.seek(0)
    try:
        log = read_log(file)
    except WrongError:
        return None
    if (log.size, log.root) != (found.checkpoint.size, found.checkpoint.root):
        return None
    return Selection(found, log.shown, log.first, log.last, uncovered, log.revisions)
