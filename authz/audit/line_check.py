"""The lines of a stream against one another: each is what the next was chained to, numbers and times go on.

A block of lines is looked at as a whole first, which is several times as fast as line by line; only where something in
it does not hold is it gone through again, to say what and where.
"""

from collections.abc import Sequence
from hashlib import sha256
from operator import lt
from typing import Final

import msgspec
from msgspec import Struct

from authz.audit.findings import Findings, IssueKind, Place
from authz.audit.record import MAX_RECORD_BYTES, ORIGIN, PREV, chain_hash
from authz.audit.segment import first_seq

_HEAD: Final = b'{"prev":"'
_TS_LENGTH: Final = len("2026-01-01T00:00:00.000000Z")


class _Numbered(Struct, gc=False):
    """What of a record is compared. Decoded of every line of a ledger: as little as possible, and all of it is JSON."""

    seq: int
    ts: str
    type: str


_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode_numbered = msgspec.json.Decoder(_Numbered).decode


def _read(line: bytes) -> _Numbered:
    """Raises one of _UNREADABLE."""
    if not line.startswith(_HEAD):
        raise msgspec.ValidationError("it does not begin with prev")
    line.decode()
    return _decode_numbered(line)


def _is_text(data: bytes) -> bool:
    """Whether this is UTF-8, which the decoder does not ask of what it passes over."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class LineCheck:
    """What the next record must say is None where a missing piece leaves it unknown.

    With `parse` off only the first and the last record of a segment are parsed.
    """

    def __init__(self, findings: Findings, *, parse: bool, seq: int = 1, prev: bytes = ORIGIN) -> None:
        self.last = Place()
        self.prev: bytes | None = prev
        self.seq: int | None = seq
        self._findings = findings
        self._parse = parse
        self._ts = ""
        self._segment = ""
        self._number = 0
        self._offset = 0
        self._line = b""

    @property
    def next_place(self) -> Place:
        """Where the next record begins."""
        return Place(self._segment, self._number + 1, self._offset)

    def enter(self, segment: str) -> None:
        """The next lines are the first ones of this segment."""
        self._segment, self._number, self._offset = segment, 0, 0

    def lose(self) -> None:
        """Records are missing here: nothing is known about what the next one has to say."""
        self.prev = self.seq = None

    def block(self, lines: Sequence[bytes]) -> None:
        """The next lines, without their LFs."""
        if not self._number and lines:
            self._one(lines[0])
            lines = lines[1:]
        if not lines:
            return
        digests = b"".join([whole.digest() for whole in map(sha256, lines)])
        if not self._holds(lines, digests):
            for line in lines:
                self._one(line)
            return
        self.prev = digests[-32:].hex().encode()
        self._line = lines[-1]
        self._number += len(lines)
        self._offset += sum(map(len, lines)) + len(lines)
        self.last = Place(self._segment, self._number, self._offset - len(self._line) - 1)

    def leave(self) -> None:
        """The segment has no more lines. Without parsing, its last record is looked at now."""
        if not self._parse and self._number > 1:
            self.seq = first_seq(self._segment) + self._number - 1
            self._record(self._line, self.last)

    def _holds(self, lines: Sequence[bytes], digests: bytes) -> bool:
        """Whether nothing is wrong with the block. If so, numbers and times are those after it."""
        if self.prev is None:
            return False
        head = PREV.stop
        chained = "|" + self.prev.decode() + ("|" + digests[:-32].hex("|", 32) if len(lines) > 1 else "")
        if chained.encode().replace(b"|", _HEAD) != b"".join([line[:head] for line in lines]):
            return False
        if max(map(len, lines)) > MAX_RECORD_BYTES:
            return False
        return not self._parse or (_is_text(b"".join(lines)) and self._goes_on(lines))

    def _goes_on(self, lines: Sequence[bytes]) -> bool:
        if self.seq is None:
            return False
        try:
            headers = list(map(_decode_numbered, lines))
        except _UNREADABLE:
            return False
        times = [header.ts for header in headers]
        numbers = range(self.seq, self.seq + len(lines))
        if [header.seq for header in headers] != list(numbers) or set(map(len, times)) != {_TS_LENGTH}:
            return False
        if not all(map(lt, [self._ts, *times], times)):
            return False
        self.seq, self._ts = numbers.stop, times[-1]
        return True

    def _one(self, line: bytes) -> None:
        if self.prev is not None and line[PREV] != self.prev:
            self._broken()
        self.prev = chain_hash(line)
        self.last, self._line = self.next_place, line
        if len(line) > MAX_RECORD_BYTES:
            self._findings.issue("record_unreadable", self.last, f"Not a record: it is {len(line)} bytes long")
        self._number += 1
        self._offset += len(line) + 1
        if self._parse or self._number == 1:
            self._record(line, self.last)

    def _broken(self) -> None:
        here = self.next_place
        if self.last.line == 0:
            self._findings.issue("chain_broken", here, "The first record follows another one than it should")
            return
        what = (
            f"This is not the record that the next one ({here.segment}, line {here.line}) was chained to: one of the "
            "two was changed, or records between them were removed or added"
        )
        self._findings.issue("chain_broken", self.last, what)

    def _record(self, line: bytes, place: Place) -> None:
        """What a record says of itself: number and time."""
        try:
            header = _read(line)
        except _UNREADABLE as error:
            self._findings.issue("record_unreadable", place, f"Not a record: {error}")
            self.seq = None if self.seq is None else self.seq + 1
            return
        if self.seq is not None and header.seq != self.seq:
            kind: IssueKind = "seq_gap" if header.seq > self.seq else "seq_repeated"
            self._findings.issue(kind, place, f"Record {header.seq} stands where {self.seq} belongs")
        if header.ts <= self._ts or len(header.ts) != _TS_LENGTH:
            self._findings.issue("time_reversed", place, f"Its time {header.ts} is not after {self._ts}")
        self.seq, self._ts = header.seq + 1, header.ts
