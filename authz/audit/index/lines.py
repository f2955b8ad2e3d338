"""Records read where the index says they lie, and believed only when the ledger itself says the same.

A line counts as what the row claims when it lies within what counts of its segment, from one LF to the next; when its
hash is the row's, and the `prev` of the record after it, where there is one; and when the row made from it is the row.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from authz.audit.extent import extents
from authz.audit.index.row import DIGEST_BYTES, SHAPE_BITS, Row, position, row_of, shape_of
from authz.audit.placed import placed
from authz.audit.record import MAX_RECORD_BYTES, PREV
from authz.audit.segment import is_segment_of, segment_names
from authz.audit.stored import is_stored, open_segment

_BUFFER_BYTES: Final = 4096
_SUCCESSOR: Final = b'{"prev":"'
_SEALED: Final[dict[Path, int]] = {}
"""How much counts of sealed segments, for all searches of the process: it is stated in the ledger and never changes."""

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class NotTheRecordError(Exception):
    """The row is not that of a record of this ledger. Says why."""


class SegmentLines:
    """The records of one segment, as rows of the index claim them."""

    def __init__(self, audit: Path, stream: str, number: int, segment: str) -> None:
        """`number`: of the stream, in the index. Raises NotTheRecordError when these are no names, OSError.

        What was pruned has no lines, and is no reason to doubt.
        """
        if not is_segment_of(stream, segment):
            raise NotTheRecordError("it names no place in a ledger")
        self.stream = stream
        self.segment = segment
        self._number = number
        self._path = audit / stream / segment
        self._file: BinaryIO | None = None
        self._counted = 0
        try:
            self._counted = _counted_bytes(self._path)
            self._file = open_segment(self._path, _BUFFER_BYTES)
        except FileNotFoundError:
            if not _is_pruned(self._path):
                raise NotTheRecordError("the segment is not there") from None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def event(self, row: Row, shape: bytes | None) -> dict[str, Any] | None:
        """The record that the row is of, with its stream's name; None when it was pruned.

        `shape`: as the row's number has it; None for one that stands for many. Raises NotTheRecordError, OSError.
        """
        if self._file is None:
            return None
        line, head = self._read(self._file, row)
        digest = sha256(line)
        if digest.digest()[:DIGEST_BYTES] != row.digest:
            raise NotTheRecordError("the line there has another hash")
        sha = digest.hexdigest().encode()
        if head.startswith(_SUCCESSOR) and len(head) == PREV.stop and head[PREV] != sha:
            raise NotTheRecordError("the record after it was chained to another one")
        return self._checked(row, shape, line, sha)

    def _read(self, file: BinaryIO, row: Row) -> tuple[bytes, bytes]:
        """The line, and the beginning of the record after it, as far as there is one."""
        end = row.offset + row.length + 1
        if not 0 < row.length <= MAX_RECORD_BYTES or row.offset < 0 or end > self._counted:
            raise NotTheRecordError("it points to nothing that counts of the segment")
        start = max(0, row.offset - 1)
        file.seek(start)
        data = file.read(end + PREV.stop - start)
        line = data[row.offset - start : end - start]
        if not line.endswith(b"\n") or b"\n" in line[:-1] or not (start == row.offset or data.startswith(b"\n")):
            raise NotTheRecordError("no line begins and ends there")
        return line[:-1], data[end - start :] if end < self._counted else self._first_of_next()

    def _first_of_next(self) -> bytes:
        after = [name for name in segment_names(self._path.parent) if name > self.segment]
        if not after:
            return b""
        with open_segment(self._path.with_name(after[0]), _BUFFER_BYTES) as file:
            return file.read(PREV.stop)

    def _checked(self, row: Row, shape: bytes | None, line: bytes, sha: bytes) -> dict[str, Any]:
        try:
            fields = _decode(line)
            pos = position(fields["ts"], self._number)
            made = row_of(fields, pos, row.chunk, row.shape & (1 << SHAPE_BITS) - 1, row.offset, line, sha)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotTheRecordError(f"the line there is no record: {error}") from None
        if made != row:
            names = [name for name, is_, was in zip(Row._fields, made, row, strict=True) if is_ != was]
            raise NotTheRecordError(f"the record there has another {', '.join(names)}")
        if shape is not None and shape != shape_of(fields):
            raise NotTheRecordError("the record there is of another shape")
        return placed(fields, self.stream)


def _counted_bytes(path: Path) -> int:
    known = _SEALED.get(path)
    if known is not None and is_stored(path):
        return known
    found = extents(path.parent, since=path.name, most=2) if path.parent.is_dir() else []
    if not found or found[0].path.name != path.name:
        raise FileNotFoundError(path)
    opening = found[1].opening if len(found) > 1 else None
    if opening is not None and opening.previous_segment == path.name:
        _SEALED[path] = found[0].counted_bytes
    return found[0].counted_bytes


def _is_pruned(path: Path) -> bool:
    """Whether there are only segments after this one."""
    kept = segment_names(path.parent) if path.parent.is_dir() else []
    return bool(kept) and kept[0] > path.name
