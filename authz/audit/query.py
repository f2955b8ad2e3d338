"""Search: the events of a ledger, newest first.

Events are found by the index, where there is one, and what it has not come to yet is read backwards from the segments.
Without an index, or where it is not to be trusted, all of it is: that costs a pass over what lies in its time range.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from authz.audit.cursor import Position, is_cursor, read_cursor, write_cursor
from authz.audit.extent import Extent, extents, lines_backward
from authz.audit.filters import Filter, Pseudonyms, read_filter
from authz.audit.index import Index, IndexUnusableError, open_index
from authz.audit.location import LedgerUnreadableError, NoSuchEventError, state_directory, stream_directories
from authz.audit.placed import placed
from authz.audit.trail import Place
from authz.core import BadRequestError

_Event = dict[str, Any]

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class IndexUse(Struct, frozen=True):
    """What the index had to do with an answer.

    `state`: `used`, `none` where there is none or it was not wanted, `unusable` for the reason `why`: then the answer
    was read from the segments alone. `through`: the number of the last record it has, of each stream; what came after
    that was read from the segments (`from_segments` records), so that nothing is missing. `refused`: a sentence for
    each row that is not what lies in the ledger. None of them was answered: somebody has changed index or ledger.
    """

    state: Literal["used", "none", "unusable"] = "none"
    why: str | None = None
    through: dict[str, int] = {}
    from_segments: int = 0
    refused: tuple[str, ...] = ()


class Page(Struct, frozen=True):
    """Events, newest first. `cursor`: to go on from there; None at the end."""

    events: list[_Event]
    cursor: str | None = None
    index: IndexUse = IndexUse()


def get_audit_events(
    limit: int = 100,
    after: str | None = None,
    *,
    path: Path | str | None = None,
    params: Mapping[str, str] | None = None,
    pseudonyms: Pseudonyms | None = None,
    from_segments: bool = False,
    **filters: Any,
) -> list[_Event]:
    """At most `limit` events, newest first; `after` is the id of the last event seen, to go on from there.

    Each event is its record as a dict, with `stream` added. `path` as in `verify_audit_integrity`. Filters: `type`
    (an event's type or a decision's operation), `decision`, `reason`, `subject`, `scope`, `role`, `route`, `method`,
    `request_id`, `session_id`, `ip`, `id`, `since`, `until` (RFC 3339, a date, or `7d` ago), and `param_NAME` or
    `params={NAME: value}`. A `subject` is given as its pseudonym, or clear if `pseudonyms` is given, which returns
    all pseudonyms of a value. `from_segments`: without the index of a state directory.

    Raises BadRequestError that names the parameter, LedgerUnreadableError when there is no ledger or it cannot be read.
    """
    asked = {"params": params, "pseudonyms": pseudonyms, **filters}
    return get_audit_page(limit, after, path=path, from_segments=from_segments, **asked).events


def get_audit_page(
    limit: int = 100,
    after: str | None = None,
    *,
    path: Path | str | None = None,
    params: Mapping[str, str] | None = None,
    pseudonyms: Pseudonyms | None = None,
    from_segments: bool = False,
    **filters: Any,
) -> Page:
    """`get_audit_events` with the cursor of the next page, and what the index had to do with it.

    `after` is such a cursor, or an event's id.
    """
    wanted = read_filter(filters, params, pseudonyms)
    return search(wanted, limit, after, path=path, from_segments=from_segments)


def search(
    wanted: Filter,
    limit: int = 100,
    after: str | None = None,
    *,
    path: Path | str | None = None,
    from_segments: bool = False,
) -> Page:
    """One page: at most `limit` events that pass, before the cursor or the event's id `after`.

    What was recorded since the first page of a search is in none of the next ones; all else is there once.
    Raises BadRequestError, LedgerUnreadableError.
    """
    if limit < 1:
        raise BadRequestError("limit: must be at least 1")
    directories = stream_directories(path)
    try:
        return _Search(directories, wanted, limit, after).page(None if from_segments else state_directory(path))
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def events_of(
    wanted: Filter,
    after: str | None = None,
    path: Path | str | None = None,
    *,
    from_segments: bool = False,
    refused: list[str] | None = None,
) -> Iterator[_Event]:
    """All events that pass, newest first, as far as somebody reads them; those that were there at the beginning.

    `after`: a cursor or an event's id. `refused` is given a sentence for each row of the index that was left out.
    Raises BadRequestError, LedgerUnreadableError.
    """
    try:
        directories = stream_directories(path)
        last = _position_of(directories, after)
        if not from_segments:
            try:
                for event in _with_index(directories, state_directory(path), wanted, last, refused):
                    last = _position(event)
                    yield event
            except IndexUnusableError:
                pass
            else:
                return
        tails = (_Tail(directory, wanted) for directory in directories)
        yield from _merged(last, *map(iter, tails))
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def find_event(event_id: str, path: Path | str | None = None) -> _Event:
    """The event with this id, as `get_audit_events` gives it; of several, the newest one of a stream.

    What the index does not find costs a pass over the whole ledger. Raises NoSuchEventError, LedgerUnreadableError.
    """
    try:
        found = _indexed(state_directory(path), event_id) or _by_id(stream_directories(path), event_id)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    if found is None:
        raise NoSuchEventError(f"there is no event {event_id!r}")
    return found


class _Search:
    """One page, by the index or without it."""

    def __init__(self, directories: Sequence[Path], wanted: Filter, limit: int, after: str | None) -> None:
        self._directories = directories
        self._wanted = wanted
        self._limit = limit
        self._after = after

    def page(self, state: Path | None) -> Page:
        try:
            index = None if state is None or not _is_of(state, self._directories) else open_index(state)
            if index is None:
                return self._from_segments(IndexUse())
            with index:
                return self._with(index)
        except IndexUnusableError as error:
            return self._from_segments(IndexUse("unusable", str(error)))

    def _with(self, index: Index) -> Page:
        before = _position_of(self._directories, self._after, index)
        places = {stream: taken.place for stream, taken in index.places.items()}
        tails = [_Tail(directory, self._wanted, places.get(directory.name, Place())) for directory in self._directories]
        found = _merged(before, index.events(self._wanted, before), *map(iter, tails))
        events = list(islice(found, self._limit))
        refused = tuple(map(str, index.refused))
        through = {stream: place.seq for stream, place in places.items()}
        return self._page(events, IndexUse("used", None, through, sum(tail.records for tail in tails), refused))

    def _from_segments(self, use: IndexUse) -> Page:
        before = _position_of(self._directories, self._after)
        tails = (_Tail(directory, self._wanted) for directory in self._directories)
        return self._page(list(islice(_merged(before, *map(iter, tails)), self._limit)), use)

    def _page(self, events: list[_Event], use: IndexUse) -> Page:
        more = len(events) == self._limit
        return Page(events, write_cursor(_position(events[-1])) if more else None, use)


class _Tail:
    """The events of one stream that come after a place, newest first. `records`: how many were read so far."""

    def __init__(self, directory: Path, wanted: Filter, place: Place = Place()) -> None:  # noqa: B008 - it is frozen
        self.records = 0
        self._directory = directory
        self._wanted = wanted
        self._place = place

    def __iter__(self) -> Iterator[_Event]:
        for extent in reversed(extents(self._directory, since=self._place.segment)):
            opened_at = extent.header.ts if extent.header is not None else ""
            if opened_at < self._wanted.until:
                yield from self._segment(extent)
            if opened_at and opened_at < self._wanted.since:
                return

    def _segment(self, extent: Extent) -> Iterator[_Event]:
        for line in _lines(extent, self._place.offset if extent.path.name == self._place.segment else 0):
            self.records += 1
            if self._wanted.may_pass(line):
                event = read_event(line)
                if event is not None and self._wanted.passes(event):
                    yield placed(event, self._directory.name)


def _with_index(
    directories: Sequence[Path], state: Path, wanted: Filter, before: Position | None, refused: list[str] | None
) -> Iterator[_Event]:
    """Raises IndexUnusableError at any moment, also where there is none."""
    index = open_index(state) if _is_of(state, directories) else None
    if index is None:
        raise IndexUnusableError("there is none")
    with index:
        places = {stream: taken.place for stream, taken in index.places.items()}
        tails = (_Tail(directory, wanted, places.get(directory.name, Place())) for directory in directories)
        try:
            yield from _merged(before, index.events(wanted, before), *map(iter, tails))
        finally:
            if refused is not None:
                refused += map(str, index.refused)


def _merged(before: Position | None, *sources: Iterator[_Event]) -> Iterator[_Event]:
    """The matching events of all streams, newest first: by time, then stream and number."""
    for event in heapq.merge(*sources, key=_position, reverse=True):
        if before is None or _position(event) < before:
            yield event


def _is_of(state: Path, directories: Sequence[Path]) -> bool:
    """Whether these are the streams of a state directory: an index is of all of them."""
    return all(directory.parent == state.resolve() / "audit" for directory in directories)


def _lines(extent: Extent, begin: int = 0) -> Iterator[bytes]:
    """The lines of a segment, last one first; none of one that was pruned since it was listed. Raises OSError."""
    with suppress(FileNotFoundError):
        yield from lines_backward(extent.path, extent.counted_bytes, begin=begin)


def read_event(line: bytes) -> _Event | None:
    """The event, or None for a line that verification will name."""
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event.get("ts"), str) and isinstance(event.get("seq"), int) else None


def _position(event: _Event) -> Position:
    return event["ts"], event["stream"], event["seq"]


def _position_of(directories: Sequence[Path], after: str | None, index: Index | None = None) -> Position | None:
    """What a cursor or an event's id says. Raises BadRequestError."""
    if after is None:
        return None
    if is_cursor(after):
        return read_cursor(after)
    event = (index.by_id(after) if index is not None else None) or _by_id(directories, after)
    if event is None:
        raise BadRequestError(f"after: there is no event {after!r}")
    return _position(event)


def _indexed(state: Path, event_id: str) -> _Event | None:
    """The event, if the index finds it."""
    with suppress(IndexUnusableError):
        index = open_index(state)
        if index is not None:
            with index:
                return index.by_id(event_id)
    return None


def _by_id(directories: Sequence[Path], event_id: str) -> _Event | None:
    needle = b',"id":%b,' % msgspec.json.encode(event_id)
    for directory in directories:
        for extent in reversed(extents(directory)):
            for line in _lines(extent):
                event = read_event(line) if needle in line else None
                if event is not None and event.get("id") == event_id:
                    return placed(event, directory.name)
    return None
