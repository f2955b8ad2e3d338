"""Records and their chain."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from authz.audit.record import (
    MAX_RECORD_BYTES,
    ORIGIN,
    Chain,
    InvalidEventError,
    RecordTooLargeError,
    microseconds,
    read_header,
)
from authz.core import EVENT_TYPES, DecisionBody, Event

from .ledger import StoppedClock, event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.dictionaries(TEXT.filter(lambda name: name not in {"prev", "seq", "id", "ts", "type"}), JSON, max_size=5)


def test_a_record_reads_as_the_specification_shows_it() -> None:
    """prev first, then seq, id, ts and type, then the event's fields as they were given."""
    chain = Chain(StoppedClock(1_800_000_000.25))
    line = chain.append(Event("d1", "memory.accessed", {"subject": "h1:k:s", "size": 3}))
    expected = (
        b'{"prev":"0000000000000000000000000000000000000000000000000000000000000000","seq":1,"id":"d1",'
        b'"ts":"2027-01-15T08:00:00.250000Z","type":"memory.accessed","subject":"h1:k:s","size":3}'
    )
    assert line == expected


def test_prev_is_the_sha256_of_the_bytes_before() -> None:
    """The hash is over the raw bytes of the previous record, without LF."""
    chain = Chain(StoppedClock())
    first, second = chain.append(event("a")), chain.append(event("b"))
    assert second[9:73] == hashlib.sha256(first).hexdigest().encode()
    assert chain.prev == hashlib.sha256(second).hexdigest().encode()


def test_time_goes_forward_while_the_clock_stands_or_goes_back() -> None:
    """Each record is at least one microsecond after the one before it."""
    clock = StoppedClock(1_800_000_000.0)
    chain = Chain(clock)
    times = [read_header(chain.append(event("a"))).ts, read_header(chain.append(event("b"))).ts]
    clock.time -= 100
    times.append(read_header(chain.append(event("c"))).ts)
    assert times == [
        "2027-01-15T08:00:00.000000Z",
        "2027-01-15T08:00:00.000001Z",
        "2027-01-15T08:00:00.000002Z",
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, FIELDS), min_size=1, max_size=6))
def test_every_event_comes_back_as_it_was_given(given_events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever JSON the fields hold: one line, chained, and parsed back to the same fields by any JSON parser."""
    chain = Chain(StoppedClock())
    prev = ORIGIN
    for seq, (event_id, fields) in enumerate(given_events, 1):
        line = chain.append(Event(event_id, "admin.config_changed", fields))
        document = json.loads(line)
        header = {name: document.pop(name) for name in ("prev", "seq", "id", "type")}
        assert header == {"prev": prev.decode(), "seq": seq, "id": event_id, "type": "admin.config_changed"}
        assert microseconds(document.pop("ts")) == chain.at
        assert document == fields
        assert b"\n" not in line
        prev = hashlib.sha256(line).hexdigest().encode()


def test_a_decision_body_is_spliced_in_as_it_encodes() -> None:
    """A Struct is encoded once, defaults omitted, and its bytes stand in the record unchanged."""
    body = DecisionBody(
        decision="deny", reason="scope_missing", revision="r1", engine="embedded", dialect="envoy", caller="edge"
    )
    line = Chain(StoppedClock()).append(Event("d1", "auth.scope_denied", body))
    assert line.endswith(b"," + msgspec.json.encode(body)[1:])


class _Tagged(Struct, tag="x"):
    subject: str


class _Listed(Struct, array_like=True):
    subject: str


class _Omitting(Struct, omit_defaults=True):
    subject: str = "nobody"


class _Renamed(Struct):
    subject: str = msgspec.field(name="id")


@pytest.mark.parametrize(
    ("event_type", "body", "message"),
    [
        ("memory.eaten", {}, "memory.eaten: no such event type"),
        ("memory.accessed", {}, "memory.accessed: the field 'subject' is required"),
        ("memory.accessed", {"subject": "s", "seq": 1}, "memory.accessed: seq belong to the ledger"),
        ("memory.accessed", {"subject": "s", "x": object()}, "the event cannot be written as JSON"),
        ("memory.accessed", {"subject": "\udc80"}, "the event cannot be written as JSON"),
        ("memory.accessed", {"subject": msgspec.Raw(b"1\n")}, "not one JSON object on one line"),
        ("memory.accessed", _Tagged("s"), "type belong to the ledger"),
        ("memory.accessed", _Listed("s"), "not one JSON object on one line"),
        ("memory.accessed", _Omitting("s"), "the field 'subject' is required"),
        ("memory.accessed", _Renamed("s"), "the field 'subject' is required"),
    ],
)
def test_an_event_the_catalogue_does_not_allow_is_refused(event_type: str, body: Any, message: str) -> None:
    """The message says what is wrong, and nothing was chained."""
    chain = Chain(StoppedClock())
    with pytest.raises(InvalidEventError, match=message):
        chain.append(Event("x", event_type, body))
    assert (chain.seq, chain.prev, chain.at) == (0, ORIGIN, 0)


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_every_type_of_the_catalogue_can_be_recorded(event_type: str) -> None:
    """With exactly its required fields."""
    fields = dict.fromkeys(EVENT_TYPES[event_type].required, "x")
    line = Chain(StoppedClock()).append(Event("x", event_type, fields))
    assert read_header(line).type == event_type


def test_the_largest_record_fits_and_one_byte_more_does_not() -> None:
    """60,000 bytes without LF; a larger record is refused and nothing was chained."""
    chain = Chain(StoppedClock())
    empty = len(Chain(StoppedClock()).append(event("a", pad="")))
    with pytest.raises(RecordTooLargeError, match=r"memory.accessed: the record is 60001 bytes, more than 60000"):
        chain.append(event("a", pad="x" * (MAX_RECORD_BYTES - empty + 1)))
    assert (chain.seq, chain.prev) == (0, ORIGIN)
    assert len(chain.append(event("a", pad="x" * (MAX_RECORD_BYTES - empty)))) == MAX_RECORD_BYTES


def test_of_several_events_all_are_chained_or_none() -> None:
    """One bad event among good ones leaves the chain where it was."""
    chain = Chain(StoppedClock())
    chain.append(event("a"))
    before = chain.seq, chain.prev, chain.at
    with pytest.raises(InvalidEventError):
        chain.append_all([event("b"), Event("c", "memory.eaten", {})])
    assert (chain.seq, chain.prev, chain.at) == before


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"prev":1}', b"\xff", b"{" * 5000])
def test_what_is_no_record_is_a_value_error(line: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(ValueError):
        read_header(line)
