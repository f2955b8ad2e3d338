"""A record: one line of the ledger, encoded once and chained to the line before it by its raw bytes.

    {"prev":"<64 hex>","seq":N,"id":"..","ts":"..","type":"..", fields of the event}

`prev` comes first, at a fixed offset, so that the chain can be checked without parsing anything.
"""

import time
from collections.abc import Iterable, Set
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from authz.core import EVENT_TYPES, AuthzError, Clock, Encoded, Event, TooLargeError

MAX_RECORD_BYTES: Final = 60_000
"""Longest record without its LF: below the 65,535 bytes that an entry of a C2SP bundle can hold."""

ORIGIN: Final = b"0" * 64
"""`prev` of the first record of a stream."""

PREV: Final = slice(9, 73)
"""Where the 64 hex digits of `prev` stand in every line."""

_RESERVED: Final = frozenset(("prev", "seq", "id", "ts", "type"))
_MICROSECONDS: Final = 1_000_000


class InvalidEventError(AuthzError):
    """An event that the catalogue does not allow, or that is not JSON: a mistake in the program that made it."""


class RecordTooLargeError(TooLargeError):
    """The event would make a record of more than MAX_RECORD_BYTES."""


class Header(Struct, frozen=True):
    """What every record starts with. `ts`: RFC 3339, UTC, microseconds."""

    prev: str
    seq: int
    id: str
    ts: str
    type: str


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(Header).decode


def read_header(line: bytes) -> Header:
    """The header of a record. Raises ValueError when the line is not one JSON object with these fields."""
    try:
        return _decode_header(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def microseconds(ts: str) -> int:
    """A record's `ts` as microseconds since the epoch. Raises ValueError when it is not one."""
    moment = datetime.fromisoformat(ts)
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return int(moment.replace(microsecond=0).timestamp()) * _MICROSECONDS + moment.microsecond


def chain_hash(line: bytes) -> bytes:
    """SHA-256 of a record's bytes without the LF, as 64 hex digits: the next record's `prev`."""
    return sha256(line).hexdigest().encode()


class Chain:
    """Where a stream stands: number, hash and time of its last record.

    Not safe across threads: whoever holds the chain is the only one to append.
    """

    __slots__ = ("_clock", "_second", "_second_text", "at", "prev", "seq")

    def __init__(self, clock: Clock, *, seq: int = 0, prev: bytes = ORIGIN, at: int = 0) -> None:
        self.seq = seq
        self.prev = prev
        self.at = at
        """Time of the last record, in microseconds since the epoch."""
        self._clock = clock
        self._second = -1
        self._second_text = b""

    def append(self, event: Event) -> bytes:
        """Chain the event and return its record, without LF. Time never stands still and never goes back.

        Raises InvalidEventError or RecordTooLargeError; then nothing was chained.
        """
        return self._append(event, int(self._clock.now() * 1e6))

    def _append(self, event: Event, now: int) -> bytes:
        event_id, body = _encoded(event)
        at = now if now > self.at else self.at + 1
        second, micros = divmod(at, _MICROSECONDS)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        line = b'{"prev":"%b","seq":%d,"id":%b,"ts":"%b.%06dZ","type":"%b"%b' % (
            self.prev,
            self.seq + 1,
            event_id,
            self._second_text,
            micros,
            event.type.encode(),
            body,
        )
        if len(line) > MAX_RECORD_BYTES:
            raise RecordTooLargeError(f"{event.type}: the record is {len(line)} bytes, more than {MAX_RECORD_BYTES}")
        self.seq += 1
        self.prev = chain_hash(line)
        self.at = at
        return line

    def append_all(self, events: Iterable[Event]) -> list[bytes]:
        """`append` for each of them. Raises as `append` does; then none of them was chained."""
        before, now = (self.seq, self.prev, self.at), int(self._clock.now() * 1e6)
        try:
            return [self._append(event, now) for event in events]
        except AuthzError:
            self.seq, self.prev, self.at = before
            raise


def _encoded(event: Event) -> tuple[bytes, bytes]:
    """The id as JSON, and the event's own fields as they end a record: `,"field":..}`, or `}` when there are none.

    Raises InvalidEventError when the type is not in the catalogue, a required field is missing, a field would
    shadow one of the header, or the event has no JSON form on one line.
    """
    body = event.body
    try:
        event_id = _encode(event.id)
        encoded = body.text if isinstance(body, Encoded) else _encode(body)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidEventError(f"{event.type}: the event cannot be written as JSON: {error}") from None
    if isinstance(body, dict):
        _check(event.type, body.keys(), body.keys())
    else:
        _check_struct(event.type, type(body.of) if isinstance(body, Encoded) else type(body))
    if encoded[:1] != b"{" or b"\n" in encoded:
        raise InvalidEventError(f"{event.type}: the body is not one JSON object on one line")
    return event_id, b"," + encoded[1:] if len(encoded) > 2 else b"}"


def _check(event_type: str, always: Set[str], ever: Set[str]) -> None:
    """`always`: fields that are there whatever their values; `ever`: all that may be."""
    catalogued = EVENT_TYPES.get(event_type)
    if catalogued is None:
        raise InvalidEventError(f"{event_type}: no such event type")
    for name in catalogued.required:
        if name not in always:
            raise InvalidEventError(f"{event_type}: the field {name!r} is required")
    if not _RESERVED.isdisjoint(ever):
        raise InvalidEventError(f"{event_type}: {', '.join(sorted(_RESERVED & ever))} belong to the ledger")


@cache
def _check_struct(event_type: str, body: type[Struct]) -> None:
    """Cached by type: a struct's fields do not change. Required ones must be there whatever their value."""
    fields = msgspec.structs.fields(body)
    omits = body.__struct_config__.omit_defaults
    always = frozenset(field.encode_name for field in fields if field.required or not omits)
    tag = body.__struct_config__.tag_field
    _check(event_type, always, frozenset(field.encode_name for field in fields) | ({tag} if tag else set()))
