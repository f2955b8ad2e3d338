"""The records of what callers reported lately: what was recorded is not to be recorded again."""

from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from authz.audit.extent import Extent, extents, lines_backward
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.segment import segment_names

_NEEDLE: Final = b'","source":"'
"""In every such record, right behind its type."""

_LOOK_BACK: Final = 8


class _Reported(Struct):
    id: str
    ts: str
    source: str


_decode = msgspec.json.Decoder(_Reported).decode


def reported_since(state: Path, since: str, most: int) -> list[bytes]:
    """The IDs of at most `most` records that callers reported since then (RFC 3339 as records write it), oldest first.

    As the 16 bytes of their UUIDs. Reads what was recorded since, whatever it is. Raises LedgerUnreadableError.
    """
    found: list[tuple[str, bytes]] = []
    try:
        for directory in stream_directories(state):
            found += _of_stream(directory, since, most)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    return [key for _, key in sorted(found)[-most:]]


def _of_stream(directory: Path, since: str, most: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for extent in reversed(_recent(directory, since)):
        with suppress(FileNotFoundError):  # pruned meanwhile
            for line in lines_backward(extent.path, extent.counted_bytes):
                one = _reported(line) if _NEEDLE in line else None
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


def _reported(line: bytes) -> tuple[str, bytes] | None:
    """Time and ID; None for a line that is none of them, or that verification will name."""
    try:
        record = _decode(line)
        return record.ts, UUID(record.id).bytes
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
