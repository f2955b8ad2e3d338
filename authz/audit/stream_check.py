"""One pass over one stream: every record that counts against the one before it, every segment against the next."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.extent import Extent, extents, lines_forward
from authz.audit.findings import Issue, IssueKind, NoteKind, StreamReport
from authz.audit.record import ORIGIN, PREV, read_header
from authz.audit.segment import SegmentOpen, first_seq, void_names

_LF: Final = 10
_TS_LENGTH: Final = len("2026-01-01T00:00:00.000000Z")


class _Place(NamedTuple):
    """Where a record stands: line from 1, offset in bytes from 0."""

    segment: str
    line: int
    offset: int


class StreamCheck:
    """Fills `issues` and `notes`. What the next record must say is None where a missing piece leaves it unknown."""

    def __init__(self, directory: Path, *, parse: bool, progress: Callable[[int], None]) -> None:
        self.issues: list[Issue] = []
        self.notes: list[Issue] = []
        self._directory = directory
        self._parse = parse
        self._progress = progress
        self._prev: bytes | None = ORIGIN
        self._seq: int | None = 1
        self._ts = ""
        self._last = _Place("", 0, 0)
        self._records = 0
        self._counted_bytes = 0

    def run(self) -> StreamReport:
        """Check the stream. What cannot be read is a finding, not an error."""
        try:
            found = extents(self._directory)
            voided = void_names(self._directory)
        except OSError as error:
            found, voided = [], []
            self._issue("segment_unreadable", _Place("", 0, 0), f"The stream cannot be read: {error}")
        for before, extent, after in zip([None, *found], found, [*found[1:], None], strict=False):
            self._segment(before, extent, after)
        for name in voided:
            self._note("set_aside", _Place(name, 0, 0), "Set aside after a failure: nothing in it counts")
        self._note("uncovered" if self._records else "empty", self._last, self._uncovered())
        last_seq = (self._seq or 1) - 1
        return StreamReport(self._directory.name, len(found), self._records, self._counted_bytes, last_seq)

    def _uncovered(self) -> str:
        if not self._records:
            return "The stream holds no record"
        return (
            "Not covered by a checkpoint yet: a change of the last record, a cut at the end or a ledger rewritten "
            "as a whole would not be found"
        )

    def _segment(self, before: Extent | None, extent: Extent, after: Extent | None) -> None:
        if after is not None or extent.begun:
            self._opening(before, extent)
        try:
            self._lines(extent, is_last=after is None)
        except OSError as error:
            self._issue("segment_unreadable", _Place(extent.path.name, 0, 0), f"Cannot be read: {error}")
            self._prev = self._seq = None
        if after is not None and after.opening is not None:
            self._length(extent, after.opening)
        self._progress(extent.size_bytes)

    def _opening(self, before: Extent | None, extent: Extent) -> None:
        """The segment's own statement: who it is and what it follows."""
        place = _Place(extent.path.name, 1, 0)
        header, opening = extent.header, extent.opening
        expected = before.path.name if before is not None else None
        if header is None or opening is None:
            self._issue("segment_statement", place, "The segment does not begin with a segment_open record")
            return
        if header.seq != first_seq(extent.path.name):
            self._issue(
                "segment_statement", place, f"The segment begins with record {header.seq}, not as its name says"
            )
        if opening.stream != self._directory.name:
            self._issue("segment_statement", place, f"The segment belongs to the stream {opening.stream!r}")
        if opening.previous_segment != expected:
            self._issue("segment_missing", place, f"It follows {opening.previous_segment}, which is not there")
            self._prev = self._seq = None

    def _length(self, extent: Extent, after: SegmentOpen) -> None:
        """The segment against the statement of the next one about it."""
        surplus = extent.size_bytes - extent.counted_bytes
        place = _Place(extent.path.name, 0, extent.counted_bytes)
        if surplus < 0:
            self._issue("segment_cut", place, f"{-surplus} bytes are missing at its end")
        elif surplus > 0 and after.reason != "recover":
            self._issue("segment_grown", place, f"{surplus} bytes were added after its orderly end")
        elif surplus > 0:
            self._note("ignored_tail", place, f"{surplus} bytes written before a failure: they do not count")

    def _lines(self, extent: Extent, *, is_last: bool) -> None:
        name, prev, place = extent.path.name, self._prev, self._last
        number = offset = 0
        whole = b""
        for line in lines_forward(extent.path, extent.counted_bytes):
            if line[-1] != _LF:
                self._cut(_Place(name, number + 1, offset), len(line), is_last=is_last)
                break
            whole = line
            number += 1
            if line[PREV] != prev and prev is not None:
                self._broken(place, name, number)
            prev = sha256(line[:-1]).hexdigest().encode()
            place = _Place(name, number, offset)
            offset += len(line)
            if self._parse or number == 1:
                self._record(line, place)
        if number > 1 and not self._parse:
            self._seq = first_seq(name) + number - 1
            self._record(whole, place)
        self._prev, self._last = prev, place
        self._records += number
        self._counted_bytes += offset

    def _broken(self, before: _Place, name: str, number: int) -> None:
        if before.line == 0:
            self._issue("chain_broken", _Place(name, number, 0), "The first record of the stream follows another one")
            return
        what = f"This is not the record that the next one ({name}, line {number}) was chained to: one of the two was "
        self._issue("chain_broken", before, what + "changed, or records between them were removed or added")

    def _cut(self, place: _Place, length: int, *, is_last: bool) -> None:
        if is_last:
            self._note("ignored_tail", place, f"{length} bytes after the last record: being written, or cut by a crash")
        else:
            self._issue("record_unreadable", place, "What counts of this segment ends in the middle of a record")

    def _record(self, line: bytes, place: _Place) -> None:
        """What a record says of itself: number and time."""
        try:
            header = read_header(line)
        except ValueError as error:
            self._issue("record_unreadable", place, f"Not a record: {error}")
            self._seq = None if self._seq is None else self._seq + 1
            return
        if self._seq is not None and header.seq != self._seq:
            kind: IssueKind = "seq_gap" if header.seq > self._seq else "seq_repeated"
            self._issue(kind, place, f"Record {header.seq} stands where {self._seq} belongs")
        if header.ts <= self._ts or len(header.ts) != _TS_LENGTH:
            self._issue("time_reversed", place, f"Its time {header.ts} is not after {self._ts}")
        self._seq, self._ts = header.seq + 1, header.ts

    def _issue(self, kind: IssueKind, place: _Place, message: str) -> None:
        self.issues.append(Issue(self._directory.name, place.segment, place.line, place.offset, kind, message))

    def _note(self, kind: NoteKind, place: _Place, message: str) -> None:
        self.notes.append(Issue(self._directory.name, place.segment, place.line, place.offset, kind, message))
