"""The newest records, each held to the one after it by its hash."""

from collections.abc import Iterator
from pathlib import Path

from authz.audit.extent import extents, lines_backward
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, stream_directories
from authz.audit.record import PREV, chain_hash
from authz.audit.rollup_record import AUDITOR
from authz.audit.successors import split_number
from authz.audit.summary import stream_summaries


def newest_records(path: Path | str | None = None) -> Iterator[bytes]:
    """The records of a ledger without their LFs, the newest first, stream after stream; the node's own are left out.

    As many are read as are taken. Each is the one that the record after it was chained to; whether that one is what
    was signed is for `verify` to say. Raises LedgerUnreadableError, and LedgerDamagedError at a record that is not.
    """
    try:
        for directory in _newest_first(path):
            yield from _backward(directory)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def _newest_first(path: Path | str | None) -> list[Path]:
    last = {each.stream: each.last_ts or "" for each in stream_summaries(path)}
    streams = [each for each in stream_directories(path) if split_number(each.name)[0] != AUDITOR]
    return sorted(streams, key=lambda each: last[each.name], reverse=True)


def _backward(directory: Path) -> Iterator[bytes]:
    """Back to the beginning, or to where segments were pruned."""
    chained_to = b""
    expected: str | None = None
    for extent in reversed(extents(directory)):
        if expected is not None and extent.path.name != expected:
            return
        for line in lines_backward(extent.path, extent.counted_bytes):
            if chained_to and chain_hash(line) != chained_to:
                raise LedgerDamagedError(
                    f"{directory.name}/{extent.path.name}: holds a record that the next one was not chained to; "
                    "run `authz audit verify`"
                )
            chained_to = line[PREV]
            yield line
        expected = extent.opening.previous_segment if extent.opening is not None else None
        if expected is None:
            return
