"""Searching the ledger."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.audit import (
    LedgerUnreadableError,
    LedgerWriter,
    StreamSummary,
    WriterLimits,
    get_audit_events,
    stream_summaries,
)
from authz.audit.extent import lines_backward, lines_forward
from authz.audit.moment import moment
from authz.core import BadRequestError

from .decisions import COUNT, QUESTIONS, decision, matching
from .ledger import STREAM, StoppedClock, SystemClock, records, writer


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty decisions, one a second, in several segments."""
    directory = tmp_path_factory.mktemp("query")
    asyncio.run(_fill(directory))
    return directory


async def _fill(directory: Path) -> None:
    clock = StoppedClock()
    ledger = LedgerWriter(directory, STREAM, clock=clock, limits=WriterLimits(segment_bytes=6000))
    await ledger.open()
    for number in range(COUNT):
        clock.time += 1
        await ledger.record(decision(number))
    await ledger.close()


def _numbers(state: Path, **asked: Any) -> list[int]:
    events = get_audit_events(1000, path=state, **asked)
    return [int(event["id"][1:]) for event in events if event["type"].startswith("auth.")]


def _newest_first(condition: str) -> list[int]:
    return matching(condition)


def test_events_come_newest_first_as_they_were_recorded(state: Path) -> None:
    """Every record, with the name of the stream it lies in added; one that it states itself is kept beside that."""
    stated = [
        {"about_stream" if name == "stream" else name: record[name] for name in record} for record in records(state)
    ]
    expected = [{**record, "stream": STREAM} for record in reversed(stated)]
    assert {record["about_stream"] for record in stated if record["type"] == "audit.segment_open"} == {STREAM}
    assert get_audit_events(1000, path=state) == expected
    assert get_audit_events(path=state, limit=5) == expected[:5]


@pytest.mark.parametrize(("asked", "condition"), QUESTIONS, ids=str)
def test_each_filter_gives_exactly_its_events(state: Path, asked: dict[str, Any], condition: str) -> None:
    """Newest first, several filters together, None for no filter."""
    assert _numbers(state, **asked) == _newest_first(condition)


def test_clear_values_are_found_under_all_their_pseudonyms(state: Path) -> None:
    """Whoever has the keys asks by clear subject, parameter or session; values recorded in clear match too."""

    def pseudonyms(value: str) -> list[str]:
        return [f"h1:k0:{value}", f"h1:k1:{value}"]

    assert _numbers(state, subject="subject3", pseudonyms=pseudonyms) == _newest_first("n % 5 == 3")
    assert _numbers(state, subject="h1:k1:subject3", pseudonyms=pseudonyms) == _newest_first("n % 5 == 3")
    assert _numbers(state, params={"id": "item9", "kind": "a"}, pseudonyms=pseudonyms) == [9]
    assert _numbers(state, session_id="s1", pseudonyms=pseudonyms) == _newest_first("n % 3 == 1")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"colour": "red"}, "colour: is not a filter; there are type, decision, reason, "),
        ({"subject": "alice"}, "subject: a clear id needs the pseudonym key"),
        ({"limit": 0}, "limit: must be at least 1"),
        ({"after": "nobody"}, "after: there is no event 'nobody'"),
        ({"since": "yesterday"}, "since: 'yesterday' is no time; write 2026-11-23T08:00:00Z, 2026-11-23, or 90s"),
        ({"reason": ""}, "reason: must be a text that is not empty"),
        ({"params": {"id": 3}}, "param.id: must be a text that is not empty"),
        ({"reason": "\udc80"}, "is not valid text"),
    ],
)
def test_a_question_that_cannot_be_answered_names_its_parameter(
    state: Path, asked: dict[str, Any], message: str
) -> None:
    """As BadRequestError."""
    with pytest.raises(BadRequestError) as raised:
        get_audit_events(path=state, **asked)
    assert message in str(raised.value)


def test_without_a_ledger_there_is_no_empty_answer(tmp_path: Path) -> None:
    """An absent ledger is not a ledger without events."""
    with pytest.raises(LedgerUnreadableError):
        get_audit_events(path=tmp_path)


def test_pages_are_gapless_while_events_are_added(tmp_path: Path, state: Path) -> None:
    """`after` goes on from an event, whether or not it passes the filter of the next page."""
    pages: list[int] = []
    after = None
    while page := get_audit_events(7, after, path=state, decision="deny"):
        pages += [int(event["id"][1:]) for event in page]
        after = page[-1]["id"]
    assert pages == _newest_first("n % 2")
    assert _numbers(state, after="d10", decision="deny") == [9, 7, 5, 3, 1]


async def test_streams_are_merged_by_time(tmp_path: Path) -> None:
    """Two streams written in turn read as one, and pages go on across both."""
    clock = StoppedClock()
    ledgers = [LedgerWriter(tmp_path, name, clock=clock) for name in ("one", "two")]
    for ledger in ledgers:
        await ledger.open()
    for number in range(10):
        clock.time += 1
        await ledgers[number % 2].record(decision(number))
    for ledger in ledgers:
        await ledger.close()
    assert _numbers(tmp_path) == list(reversed(range(10)))
    assert _numbers(tmp_path, after="d6") == [5, 4, 3, 2, 1, 0]
    assert [event["stream"] for event in get_audit_events(3, "d6", path=tmp_path)] == ["two", "one", "two"]


async def test_bytes_that_do_not_count_are_never_shown(tmp_path: Path) -> None:
    """Neither what a crash left, nor a line that is not JSON."""
    for number in range(2):
        ledger = writer(tmp_path)
        await ledger.open()
        await ledger.record(decision(number))
        await ledger.close()
        segment = max((tmp_path / STREAM).glob("*.jsonl"))
        segment.chmod(0o600)
        data = segment.read_bytes()
        segment.write_bytes(data[: data.rindex(b'{"prev"')] + b'{"torn":')
    assert _numbers(tmp_path) == [1, 0]
    last = max((tmp_path / STREAM).glob("*.jsonl"))
    last.write_bytes(last.read_bytes().replace(b'"reason":"rec', b'"reason:"rec'))
    assert len(get_audit_events(path=tmp_path)) == 3


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30), st.integers(0, 8))
def test_lines_read_backwards_are_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cut: int
) -> None:
    """Whatever the lengths of lines and blocks, and wherever what counts ends."""
    path = tmp_path_factory.mktemp("lines") / "x"
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(data)
    end = max(0, len(data) - cut)
    whole = data[:end].split(b"\n")
    for block_bytes in (1, 7, 64, 1 << 18):
        assert list(lines_backward(path, end, block_bytes)) == whole[-2::-1]
    assert b"".join(lines_forward(path, end)) == data[:end]


async def test_a_summary_says_where_each_stream_stands(state: Path, tmp_path: Path) -> None:
    """Last record, size, segments and room on the disk; an empty stream has nothing."""
    [summary] = stream_summaries(state)
    segments = list((state / STREAM).glob("*.jsonl"))
    last = records(state)[-1]
    assert summary == StreamSummary(
        stream=STREAM,
        segments=len(segments),
        size_bytes=sum(path.stat().st_size for path in segments),
        last_seq=last["seq"],  # type: ignore[arg-type]
        last_ts=last["ts"],  # type: ignore[arg-type]
        disk_free_bytes=summary.disk_free_bytes,
    )
    assert summary.disk_free_bytes > 0
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / "lock").touch()
    assert [(empty.last_seq, empty.last_ts) for empty in stream_summaries(tmp_path)] == [(0, None)]


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000000Z"),
        ("2026-11-23T08:00:00.5+02:00", "2026-11-23T06:00:00.500000Z"),
        ("7d", "2026-11-16T12:00:00.000000Z"),
        ("90s", "2026-11-23T11:58:30.000000Z"),
        ("2w", "2026-11-09T12:00:00.000000Z"),
    ],
)
def test_times_are_read_as_people_write_them(given_time: str, expected: str) -> None:
    """Absolute in any zone, UTC without one, or so long ago."""
    assert moment("since", given_time, datetime(2026, 11, 23, 12, tzinfo=UTC)) == expected


@pytest.mark.parametrize("nonsense", ["", "7", "d", "7y", "999999w", "2026-13-01", "0001-01-01T00:00:00+10:00"])
def test_nonsense_is_no_time(nonsense: str) -> None:
    """Out of range counts as nonsense."""
    with pytest.raises(BadRequestError, match="since: "):
        moment("since", nonsense)


async def test_a_running_ledger_can_be_searched(tmp_path: Path) -> None:
    """What is acknowledged is found at once."""
    ledger = LedgerWriter(tmp_path, STREAM, clock=SystemClock())
    await ledger.open()
    for number in range(3):
        await ledger.record(decision(number))
        assert _numbers(tmp_path)[0] == number
    await ledger.close()
