"""A live tail: events as they become durable, from all streams, in the order of their times."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.filters import Filter
from authz.audit.location import stream_directories
from authz.audit.placed import placed
from authz.audit.query import read_event, search
from authz.audit.trail import Place
from authz.audit.trail.reading import StreamReader

_TS: Final = b'"ts":"'


class _Line(NamedTuple):
    """One event as JSON, and when it was."""

    ts: bytes
    json: bytes


class LiveTail:
    """Follows a ledger from the moment it is made. For one thread at a time; nothing is missed between two reads.

    Nothing is shown before it is durable.
    """

    def __init__(self, path: Path | str | None, wanted: Filter) -> None:
        """`path` as in `get_audit_events`. Raises LedgerUnreadableError, OSError."""
        self._path = path
        self._wanted = wanted
        self._readers: dict[str, StreamReader] = {}
        self._places: dict[str, Place] = {}
        self._look()
        for name, reader in self._readers.items():
            if reader.end is not None:
                self._places[name] = reader.end

    def before(self, limit: int) -> list[bytes]:
        """The last events from before it was made, oldest first, as JSON. Raises LedgerUnreadableError."""
        found: list[dict[str, Any]] = []
        after: str | None = None
        while len(found) < limit:
            page = search(self._wanted, limit, after, path=self._path)
            found += [event for event in page.events if self._is_before(event)]
            if (after := page.cursor) is None:
                break
        return [msgspec.json.encode(event) for event in reversed(found[:limit])]

    def read(self) -> list[bytes]:
        """The events since the last call, as JSON. Raises LedgerUnreadableError, OSError."""
        self._look()
        found = [line for reader in self._readers.values() for line in self._new(reader)]
        return [line.json for line in sorted(found, key=lambda line: line.ts)]

    def _look(self) -> None:
        for directory in stream_directories(self._path):
            self._readers.setdefault(directory.name, StreamReader(directory)).look()

    def _new(self, reader: StreamReader) -> Iterator[_Line]:
        name = reader.stream
        while (found := reader.lines(self._places.get(name, Place()))) is not None:
            lines, self._places[name] = found
            for line in lines:
                if self._passes(line):
                    ts = line.partition(_TS)[2][:27]
                    yield _Line(ts, _told(line, name))

    def _passes(self, line: bytes) -> bool:
        if not self._wanted.may_pass(line):
            return False
        event = read_event(line)
        return event is not None and self._wanted.passes(event)

    def _is_before(self, event: dict[str, Any]) -> bool:
        place = self._places.get(event["stream"])
        return place is not None and bool(event["seq"] <= place.seq)


def _told(line: bytes, stream: str) -> bytes:
    """As `placed`, of the record's bytes; few records speak of a stream themselves."""
    if b'"stream":' in line:
        return msgspec.json.encode(placed(msgspec.json.decode(line), stream))
    return b'%b,"stream":%b}' % (line[:-1], msgspec.json.encode(stream))
