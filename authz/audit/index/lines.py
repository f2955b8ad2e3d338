"""Records read where the index says they lie, and believed only when the ledger itself says the same.

A line counts as what the row claims when it lies within what counts of its segment, from one LF to the next; when its
hash is the row's, and the `prev` of the record after it, where there is one; and when the row made from it is the row.
"""

from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from authz.audit.extent import extents
from authz.audit.index.row import DIGEST_BYTES, Row, row_of, shape_of
from authz.audit.record import MAX_RECORD_BYTES, PREV
from authz.audit.segment import is_segment_of, segment_names
from authz.audit.stored import open_segment

_BUFFER_BYTES: Final = 4096
_SUCCESSOR: Final = b'{"prev":"'

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Claim(NamedTuple):
    """A row of the index: `row` as it stands there, of which stream and segment, and the record's shape."""

    stream: str
    stream_number: int
    segment: str
    row: Row
    shape: bytes | None


class NotTheRecordError(Exception):
    """The row is not that of a record of this ledger. Says why."""


class PrunedError(Exception):
    """The segment is not there any more."""


class Lines:
    """Reads the records of one ledger; keeps segments open for as long as it is used. A context manager.

    `sealed`: what is known of how much counts in segments that others follow, which never changes; by path.
    """

    def __init__(self, audit: Path, sealed: dict[Path, int]) -> None:
        self._audit = audit
        self._sealed = sealed
        self._files: dict[Path, BinaryIO] = {}
        self._counted: dict[Path, int] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def event(self, claim: Claim) -> dict[str, Any]:
        """The record that the row is of, with its stream's name. Raises NotTheRecordError, PrunedError, OSError."""
        row = claim.row
        if not is_segment_of(claim.stream, claim.segment) or not 0 < row.length <= MAX_RECORD_BYTES or row.offset < 0:
            raise NotTheRecordError("it names no place in a ledger")
        path = self._audit / claim.stream / claim.segment
        try:
            line = self._line(path, row)
        except FileNotFoundError:
            raise self._missing(path) from None
        digest = sha256(line)
        if digest.digest()[:DIGEST_BYTES] != row.digest:
            raise NotTheRecordError("the line there has another hash")
        self._check_successor(path, row, digest.hexdigest().encode())
        return _checked(claim, line, digest.hexdigest().encode())

    def _line(self, path: Path, row: Row) -> bytes:
        if row.offset + row.length + 1 > self._counted_bytes(path):
            raise NotTheRecordError("it points behind what counts of the segment")
        start = max(0, row.offset - 1)
        data = self._read(path, start, row.offset + row.length + 1)
        line = data[row.offset - start :]
        if not line.endswith(b"\n") or b"\n" in line[:-1] or not (start == row.offset or data.startswith(b"\n")):
            raise NotTheRecordError("no line begins and ends there")
        return line[:-1]

    def _check_successor(self, path: Path, row: Row, digest: bytes) -> None:
        end = row.offset + row.length + 1
        is_last = end >= self._counted_bytes(path)
        head = self._first_of_next(path) if is_last else self._read(path, end, end + PREV.stop)
        if head.startswith(_SUCCESSOR) and len(head) == PREV.stop and head[PREV] != digest:
            raise NotTheRecordError("the record after it was chained to another one")

    def _first_of_next(self, path: Path) -> bytes:
        after = [name for name in segment_names(path.parent) if name > path.name]
        return self._read(path.with_name(after[0]), 0, PREV.stop) if after else b""

    def _counted_bytes(self, path: Path) -> int:
        known = self._sealed.get(path) or self._counted.get(path)
        if known is not None:
            return known
        found = extents(path.parent, since=path.name, most=2)
        if not found or found[0].path.name != path.name:
            raise FileNotFoundError(path)
        opening = found[1].opening if len(found) > 1 else None
        stated = opening is not None and opening.previous_segment == path.name
        return (self._sealed if stated else self._counted).setdefault(path, found[0].counted_bytes)

    def _read(self, path: Path, start: int, end: int) -> bytes:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = self._open.enter_context(open_segment(path, _BUFFER_BYTES))
        file.seek(start)
        return file.read(end - start)

    def _missing(self, path: Path) -> Exception:
        kept = segment_names(path.parent) if path.parent.is_dir() else []
        if kept and kept[0] > path.name:
            return PrunedError
        return NotTheRecordError("the segment is not there")


def _checked(claim: Claim, line: bytes, digest: bytes) -> dict[str, Any]:
    try:
        fields = _decode(line)
        made = row_of(fields, claim.stream_number, claim.row.offset, line, digest)
        shape = shape_of(fields)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotTheRecordError(f"the line there is no record: {error}") from None
    if made != claim.row:
        names = [name for name, is_, was in zip(Row._fields, made, claim.row, strict=True) if is_ != was]
        raise NotTheRecordError(f"the record there has another {', '.join(names)}")
    if claim.shape is not None and claim.shape != shape:
        raise NotTheRecordError("the record there is of another shape")
    fields["stream"] = claim.stream
    return fields
