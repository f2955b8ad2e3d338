"""One stream as the trail reads it: what is durable and counts, from a place on, in pieces of bounded size."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.durable import Mark, read_mark
from authz.audit.extent import extents
from authz.audit.record import MAX_RECORD_BYTES
from authz.audit.segment import first_seq, segment_name, segment_names
from authz.audit.stored import open_segment
from authz.audit.trail.place import Batch, Place, Record

BATCH_BYTES: Final = 2 << 20
"""Most that is in memory of a stream at a time, but for one longer record."""

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Span(NamedTuple):
    """Bytes of a segment that count and were not read yet: from `start.offset` to `end`."""

    start: Place
    end: int


class StreamReader:
    """Reads one stream from any place. `trouble`: what did not fit, the last of it; None while all did.

    Reading goes on behind damage: whether a line is what was recorded is checked again by whoever shows it, and the
    auditor pages. A line that is no record, or not the one that belongs there, is not handed over.
    """

    def __init__(self, directory: Path) -> None:
        self.stream = directory.name
        self.segments: list[str] = []
        self.mark: Mark | None = None
        self.trouble: str | None = None
        self._directory = directory
        self._counted: dict[str, int] = {}

    def look(self) -> None:
        """See which segments are there and how far the stream is durable. Raises OSError."""
        self.mark = read_mark(self._directory)
        self.segments = segment_names(self._directory)

    @property
    def end(self) -> Place | None:
        """The place after the last durable record; None while none is known."""
        mark = self.mark
        return None if mark is None else Place(segment_name(mark.first_seq), mark.size_bytes, mark.seq, None)

    def lag_records(self, place: Place) -> int:
        """How many durable records come after a place."""
        return 0 if self.mark is None else max(0, self.mark.seq - place.seq)

    def next(self, place: Place, until: Place | None = None) -> Batch | None:
        """What comes after `place`, at most up to `until`; None when there is nothing yet. Raises OSError."""
        found = self._lines(place, until)
        if found is None:
            return None
        start, lines, after = found
        if not lines:
            return Batch(self.stream, start.segment, (), after)
        hashes = [sha256(line).hexdigest().encode() for line in lines]
        records = tuple(self._records(start, lines, hashes))
        return Batch(self.stream, start.segment, records, after._replace(prev=hashes[-1]))

    def lines(self, place: Place) -> tuple[list[bytes], Place] | None:
        """The lines after `place`, as they are, and the place after them; None when there are none yet. OSError."""
        found = self._lines(place, None)
        return None if found is None else (found[1], found[2])

    def _span(self, place: Place) -> Span | None:
        """The rest of the segment that the place is in, or of the first one behind it that has any."""
        mark = self.mark
        if mark is None:
            return None
        last = segment_name(mark.first_seq)
        for name in self.segments:
            if name < place.segment or name > last:
                continue
            start = place if name == place.segment else self._enter(name, place)
            end = mark.size_bytes if name == last else self._counted_bytes(name)
            if start.offset < end:
                return Span(start, end)
        return None

    def _enter(self, name: str, place: Place) -> Place:
        """The beginning of a segment. Records before it that nobody will ever read were pruned, or are missing."""
        before = first_seq(name) - 1
        follows = before == place.seq
        if not follows and name != self.segments[0]:
            self.trouble = f"{self.stream}/{name}: it begins with record {before + 1} where {place.seq + 1} belongs"
        return Place(name, 0, before, place.prev if follows else None)

    def _counted_bytes(self, name: str) -> int:
        """How much of a segment counts, as the one after it says; of a sealed one that never changes."""
        if name not in self._counted:
            self._counted[name] = extents(self._directory, since=name, most=2)[0].counted_bytes
        return self._counted[name]

    def _lines(self, place: Place, until: Place | None) -> tuple[Place, list[bytes], Place] | None:
        """Where they begin, the lines, and the place after them, without its hash."""
        span = self._span(place)
        if span is None:
            return None
        start, end = span.start, min(span.end, span.start.offset + BATCH_BYTES)
        if until is not None and until.segment == start.segment and until.offset > start.offset:
            end = min(end, until.offset)
        data = self._read(start.segment, start.offset, end, span.end)
        whole = data.rfind(b"\n") + 1
        if whole:
            lines = data[: whole - 1].split(b"\n")
            return start, lines, Place(start.segment, start.offset + whole, start.seq + len(lines), None)
        self.trouble = f"{self.stream}/{start.segment}: no record ends after byte {start.offset}, where some should"
        if start.segment == self.segments[-1]:
            return None
        return start, [], start._replace(offset=span.end, prev=None)  # on in the next one: here are no lines any more

    def _read(self, segment: str, offset: int, end: int, most: int) -> bytes:
        with open_segment(self._directory / segment) as file:
            file.seek(offset)
            data = file.read(end - offset)
            if end < most and b"\n" not in data:
                data += file.read(min(most - end, MAX_RECORD_BYTES + 1))
            return data

    def _records(self, start: Place, lines: list[bytes], hashes: list[bytes]) -> Iterator[Record]:
        seq, offset, prev = start.seq, start.offset, start.prev
        for line, digest in zip(lines, hashes, strict=True):
            seq += 1
            fields = _parsed(line)
            if fields is None or fields.get("seq") != seq or fields.get("ts").__class__ is not str:
                self.trouble = f"{self.stream}/{start.segment}: record {seq} cannot be read as one"
            else:
                if prev is not None and line[9:73] != prev:
                    self.trouble = f"{self.stream}/{start.segment}: record {seq} does not follow the one before it"
                yield Record(seq, offset, line, digest, fields)
            offset += len(line) + 1
            prev = digest


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
