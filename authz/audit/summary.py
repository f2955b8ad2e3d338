"""What a stream amounts to at a glance, for status pages: nothing is verified."""

import shutil
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from authz.audit.extent import extents, lines_backward
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.record import read_header


class StreamSummary(Struct, frozen=True):
    """`last_seq`, `last_ts`: of the last readable record, 0 and None in an empty stream."""

    stream: str
    segments: int
    size_bytes: int
    last_seq: int
    last_ts: str | None
    disk_free_bytes: int


def stream_summaries(path: Path | str | None = None) -> list[StreamSummary]:
    """One row for each stream under `path` (see `verify_audit_integrity`).

    Raises LedgerUnreadableError when there is no ledger or it cannot be read.
    """
    try:
        return [_summary(directory) for directory in stream_directories(path)]
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def oldest_record_at(path: Path | str | None = None) -> float | None:
    """When the oldest record that is kept was written, in seconds since the epoch; None where that cannot be known.

    Raises LedgerUnreadableError as `stream_summaries`.
    """
    oldest: list[float] = []
    try:
        for directory in stream_directories(path):
            first = extents(directory, most=1)
            if not first or first[0].header is None:
                return None
            oldest.append(datetime.fromisoformat(first[0].header.ts).timestamp())
    except (OSError, ValueError):
        return None
    return min(oldest, default=None)


def _summary(directory: Path) -> StreamSummary:
    found = extents(directory)
    seq, ts = _last(directory)
    size_bytes = sum(extent.size_bytes for extent in found)
    return StreamSummary(directory.name, len(found), size_bytes, seq, ts, shutil.disk_usage(directory).free)


def _last(directory: Path) -> tuple[int, str | None]:
    for extent in reversed(extents(directory)):
        for line in lines_backward(extent.path, extent.counted_bytes):
            try:
                header = read_header(line)
            except ValueError:
                continue
            return header.seq, header.ts
    return 0, None
