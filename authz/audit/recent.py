"""The IDs of records of one kind that were made lately: what is there is not to be recorded again."""

from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from authz.audit.extent import Extent, extents, lines_backward
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.segment import segment_names

_REPORTED: Final = b'","source":"'
"""In every record of what a caller reported, right behind its type."""

_LOOK_BACK: Final = 8


class _Record(Struct):
    id: str
    ts: str


_decode = msgspec.json.Decoder(_Record).decode


def reported_since(state: Path, since: str, most: int) -> list[bytes]:
    """The IDs of at most `most` records that callers reported since then (RFC 3339 as records write it), oldest first.

    As the 16 bytes of their UUIDs. Reads what was recorded since, whatever it is. Raises LedgerUnreadableError.
    """
    found: list[tuple[str, str]] = []
    try:
        for directory in stream_directories(state):
            found += recent_ids(directory, _REPORTED, since, most)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    return [key for _, each in sorted(found)[-most:] if (key := _uuid(each)) is not None]


def recent_ids(directory: Path, needle: bytes, since: str, most: int = 1_000_000) -> list[tuple[str, str]]:
    """Time and ID of at most `most` records of a stream with the needle in them, newest first, back to `since`.

    Raises OSError.
    """
    found: list[tuple[str, str]] = []
    for extent in reversed(_recent(directory, since)):
        with suppress(FileNotFoundError):  # pruned meanwhile
            for line in lines_backward(extent.path, extent.counted_bytes):
                one = _record(line) if needle in line else None
                if one is not None and one[0] < since:
                    return found
                if one is not None:
                    found.append(one)
                if len(found) >= most:
                    return found
    return found


def _recent(directory: Path, since: str) -> list[Extent]:
    """The segments from the one on that was open at `since`."""
    names, back = segment_names(directory), _LOOK_BACK
    while True:
        found = extents(directory, since=names[-back] if back < len(names) else "")
        older = [at for at, each in enumerate(found) if each.header is not None and each.header.ts < since]
        if older or back >= len(names):
            return found[older[-1] if older else 0 :]
        back *= 2


def _record(line: bytes) -> tuple[str, str] | None:
    """None for a line that verification will name."""
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return record.ts, record.id


def _uuid(text: str) -> bytes | None:
    try:
        return UUID(text).bytes
    except ValueError:
        return None
