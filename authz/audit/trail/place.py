"""What the trail hands over, and where in a stream that was."""

from typing import Any, NamedTuple

from authz.audit.record import ORIGIN


class Place(NamedTuple):
    """The end of a record: it was number `seq` of its stream, and ends at byte `offset` (its LF included) of `segment`.

    Offsets are of the uncompressed segment. `prev` is the record's hash as 64 hex digits, as the next record names it;
    None where it is not known. The default is the beginning of a stream.
    """

    segment: str = ""
    offset: int = 0
    seq: int = 0
    prev: bytes | None = ORIGIN


class Record(NamedTuple):
    """One record: `line` is what is hashed, without its LF, and begins at byte `offset` of its segment.

    `fields` is the line, parsed; nobody may change it: other consumers get the same one. `sha256`: of the line, as the
    next record's `prev` has it.
    """

    seq: int
    offset: int
    line: bytes
    sha256: bytes
    fields: dict[str, Any]


class Batch(NamedTuple):
    """Records of one segment, in their order, and the place after the last of them.

    It can be without records: then only the place has moved, past what is no record.
    """

    stream: str
    segment: str
    records: tuple[Record, ...]
    after: Place
