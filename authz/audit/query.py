"""Search: the events of a ledger, newest first, read backwards from the segments themselves.

Nothing is indexed here: the answer is as trustworthy as the files, and costs a pass over what lies in its time range.
"""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from authz.audit.extent import Extent, extents, lines_backward
from authz.audit.filters import Filter, Pseudonyms, read_filter
from authz.audit.location import LedgerUnreadableError, NoSuchEventError, stream_directories
from authz.core import BadRequestError

_Event = dict[str, Any]
_Position = tuple[str, str, int]

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def get_audit_events(
    limit: int = 100,
    after: str | None = None,
    *,
    path: Path | str | None = None,
    params: Mapping[str, str] | None = None,
    pseudonyms: Pseudonyms | None = None,
    **filters: Any,
) -> list[_Event]:
    """At most `limit` events, newest first; `after` is the id of the last event seen, to go on from there.

    Each event is its record as a dict, with `stream` added. `path` as in `verify_audit_integrity`. Filters: `type`
    (an event's type or a decision's operation), `decision`, `reason`, `subject`, `scope`, `role`, `route`, `method`,
    `request_id`, `session_id`, `ip`, `since`, `until` (RFC 3339, a date, or `7d` ago), and `param_NAME` or
    `params={NAME: value}`. A `subject` is given as its pseudonym, or clear if `pseudonyms` is given, which returns
    all pseudonyms of a value.

    Raises BadRequestError that names the parameter, LedgerUnreadableError when there is no ledger or it cannot be read.
    """
    if limit < 1:
        raise BadRequestError("limit: must be at least 1")
    wanted = read_filter(filters, params, pseudonyms)
    directories = stream_directories(path)
    try:
        before = None if after is None else _position_of(directories, after)
        return list(islice(_search(directories, wanted, before), limit))
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def find_event(event_id: str, path: Path | str | None = None) -> _Event:
    """The event with this id, as `get_audit_events` gives it; of several, the newest one of a stream.

    Costs a pass over what is newer than it. Raises NoSuchEventError, LedgerUnreadableError.
    """
    try:
        found = _by_id(stream_directories(path), event_id)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    if found is None:
        raise NoSuchEventError(f"there is no event {event_id!r}")
    return found


def _search(directories: list[Path], wanted: Filter, before: _Position | None) -> Iterator[_Event]:
    """The matching events of all streams, newest first: by time, then stream and number."""
    merged = heapq.merge(*(_stream(directory, wanted) for directory in directories), key=_position, reverse=True)
    for event in merged:
        if before is None or _position(event) < before:
            yield event


def _stream(directory: Path, wanted: Filter) -> Iterator[_Event]:
    for extent in reversed(extents(directory)):
        opened_at = extent.header.ts if extent.header is not None else ""
        if opened_at < wanted.until:
            yield from _segment(directory.name, extent, wanted)
        if opened_at and opened_at < wanted.since:
            return


def _segment(stream: str, extent: Extent, wanted: Filter) -> Iterator[_Event]:
    for line in _lines(extent):
        if wanted.may_pass(line):
            event = read_event(line)
            if event is not None and wanted.passes(event):
                event["stream"] = stream
                yield event


def _lines(extent: Extent) -> Iterator[bytes]:
    """The lines of a segment, last one first; none of one that was pruned since it was listed. Raises OSError."""
    with suppress(FileNotFoundError):
        yield from lines_backward(extent.path, extent.counted_bytes)


def read_event(line: bytes) -> _Event | None:
    """The event, or None for a line that verification will name."""
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event.get("ts"), str) and isinstance(event.get("seq"), int) else None


def _position(event: _Event) -> _Position:
    return event["ts"], event["stream"], event["seq"]


def _position_of(directories: list[Path], event_id: str) -> _Position:
    """Where the event with this id stands. Raises BadRequestError when there is none."""
    event = _by_id(directories, event_id)
    if event is None:
        raise BadRequestError(f"after: there is no event {event_id!r}")
    return _position(event)


def _by_id(directories: list[Path], event_id: str) -> _Event | None:
    needle = b',"id":%b,' % msgspec.json.encode(event_id)
    for directory in directories:
        for extent in reversed(extents(directory)):
            for line in _lines(extent):
                event = read_event(line) if needle in line else None
                if event is not None and event.get("id") == event_id:
                    event["stream"] = directory.name
                    return event
    return None
