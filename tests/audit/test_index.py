"""The index: it answers what the segments say, fast, and nothing that they do not say."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit import compress_sealed, find_event, get_audit_events
from authz.audit.index import IndexWriter, plan, writer
from authz.audit.index.schema import SCHEMA, index_path
from authz.audit.status import ConsumerStatus
from authz.audit.trail import Trail
from authz.audit.trail import reading as trail_reading
from authz.core import BadRequestError, Event
from tests.properties import many

from .decisions import COUNT, QUESTIONS, decision, matching
from .indexing import ask, doctor, index, numbers, record
from .ledger import STREAM, StoppedClock, lines
from .published import publish

KILLS = int(os.environ.get("AUTHZ_TEST_KILLS", "3"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty decisions, all of them in the index, in many chunks. Nobody changes it."""
    state = tmp_path_factory.mktemp("index") / "state"
    asyncio.run(record(state, [decision(number) for number in range(COUNT)]))
    index(state)
    return state


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """A few records each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "CHUNK", 4)
        yield


@pytest.fixture
def state(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(original, tmp_path / "state"))


@pytest.mark.parametrize(("asked", "condition"), QUESTIONS, ids=str)
def test_each_filter_gives_exactly_its_events(original: Path, asked: dict[str, Any], condition: str) -> None:
    """As the segments do, and without reading them."""
    page = ask(original, **asked)
    assert (numbers(page), page.index.state, page.index.from_segments) == (matching(condition), "used", 0)
    assert page.events == ask(original, from_segments=True, **asked).events


_VALUES: dict[str, st.SearchStrategy[str]] = {
    "type": st.sampled_from(["auth.scope_denied", "memory.modified", "audit.segment_open", "x"]),
    "decision": st.sampled_from(["allow", "deny"]),
    "reason": st.sampled_from(["scope_missing", "rotate"]),
    "subject": st.integers(0, 5).map("h1:k1:subject{}".format),
    "scope": st.sampled_from(["memory:read1", "memory:write"]),
    "role": st.integers(0, 4).map("role{}".format),
    "method": st.sampled_from(["get", "POST"]),
    "ip": st.integers(0, 7).map("10.0.0.{}".format),
    "session_id": st.integers(0, 3).map("s{}".format),
    "request_id": st.integers(0, 60).map("q{}".format),
    "param_kind": st.sampled_from("ab"),
    "since": st.integers(0, 59).map("2027-01-15T08:00:{:02}Z".format),
    "until": st.integers(0, 59).map("2027-01-15T08:00:{:02}Z".format),
}


@pytest.mark.slow
@many
@given(st.fixed_dictionaries({}, optional=_VALUES), st.integers(1, 20), st.sampled_from([1, 3, 4096]))
def test_whatever_is_asked_index_and_segments_agree(
    original: Path, asked: dict[str, Any], limit: int, counted: int
) -> None:
    """Any filters together, page by page, whichever condition leads."""
    before, plan.COUNTED = plan.COUNTED, counted  # type: ignore[misc]
    try:
        after = None
        while True:
            page, plain = ask(original, limit, after, **asked), ask(original, limit, after, from_segments=True, **asked)
            assert (page.events, page.cursor, page.index.state) == (plain.events, plain.cursor, "used")
            if (after := page.cursor) is None:
                return
    finally:
        plan.COUNTED = before  # type: ignore[misc]


def test_clear_values_are_found_under_all_their_pseudonyms(original: Path) -> None:
    """Of several keys, merged in order."""

    def pseudonyms(value: str) -> list[str]:
        return [f"h1:k0:{value}", f"h1:k1:{value}", "h1:k1:subject4"]

    page = ask(original, subject="subject3", pseudonyms=pseudonyms)
    assert (numbers(page), page.index.state) == (matching("n % 5 > 2"), "used")


async def test_what_was_recorded_just_now_is_found_at_once(state: Path) -> None:
    """What the index has not come to is read from the segments, and the answer says how far it has come."""
    clock = StoppedClock(1_800_000_200.0)
    await record(state, [decision(number) for number in range(COUNT, COUNT + 5)], clock=clock)
    await record(state, [decision(COUNT + 6)], "other", clock)
    page = ask(state, 8)
    assert numbers(page)[:4] == [66, 64, 63, 62]
    assert page.index.state == "used"
    assert (list(page.index.through), page.index.from_segments >= 8) == ([STREAM], True)
    index(state)
    later = ask(state, 8)
    assert (later.events, later.index.from_segments) == (page.events, 0)


async def test_paging_misses_nothing_and_shows_nothing_twice(tmp_path: Path) -> None:
    """However many events are recorded and indexed between two pages (AUTHZ_TEST_INSERTS, 10,000 in the full run)."""
    inserts = int(os.environ.get("AUTHZ_TEST_INSERTS", "1000"))
    clock = StoppedClock()
    for stream in (STREAM, "other"):
        await record(tmp_path, [decision(number) for number in range(COUNT)], stream, clock)
    index(tmp_path)
    expected = ask(tmp_path, from_segments=True).events
    seen: list[dict[str, Any]] = []
    after, added = None, 0
    while True:
        page = ask(tmp_path, 7, after)
        seen += page.events
        if (after := page.cursor) is None:
            break
        count = max(1, inserts // (len(expected) // 7))
        await record(tmp_path, [decision(1000 + added + number) for number in range(count)], clock=clock)
        added += count
        if added % 2:
            index(tmp_path)
    assert (seen, added >= inserts) == (expected, True)


def test_an_events_id_is_a_cursor_too(original: Path) -> None:
    """As in `get_audit_events`; what is neither is a question put wrongly."""
    assert [event["id"] for event in get_audit_events(2, "d10", path=original, decision="deny")] == ["d9", "d7"]
    for nonsense in ("c1.", "c1.e30", "c1.WyIyMDI3IiwibWFpbiIsMV0x", "c1.WyJub3ciLCJtYWluIiwxXQ", "nobody"):
        with pytest.raises(BadRequestError, match=r"cursor: it is not one|there is no event"):
            ask(original, after=nonsense)


def test_an_event_is_found_by_its_id(original: Path, state: Path) -> None:
    """By the index, and by a pass over the ledger where that does not know it."""
    assert find_event("d17", original) == ask(original, request_id="q17").events[0]
    doctor(state, "DELETE FROM events WHERE seq = ?", find_event("d17", state)["seq"])
    assert find_event("d17", state) == find_event("d17", original)


def test_compressed_segments_are_served(state: Path) -> None:
    """Found and checked as before; the index does not know the difference."""
    expected = ask(state).events
    publish(state, STREAM)
    compress_sealed(state / "audit")
    assert list((state / "audit" / STREAM).glob("*.zst"))
    page = ask(state)
    assert (page.events, page.index.state, page.index.refused) == (expected, "used", ())


DOCTORED = [
    ("UPDATE events SET subject = (SELECT subject FROM events WHERE seq = 4) WHERE seq = 6", "another subject"),
    ("UPDATE events SET ip = NULL WHERE seq = 6", "another ip"),
    ("UPDATE events SET params = NULL WHERE seq = 6", "another params"),
    ("UPDATE events SET seq = 7 WHERE seq = 6", "another seq"),
    ("UPDATE events SET pos = pos + 2048 WHERE seq = 6", "another pos"),
    ("UPDATE events SET id = 1 WHERE seq = 6", "another id"),
    ("UPDATE events SET digest = zeroblob(16) WHERE seq = 6", "another hash"),
    ("UPDATE events SET shape = (SELECT shape FROM events WHERE seq = 5) WHERE seq = 6", "another shape"),
    ("UPDATE events SET shape = shape + 999 WHERE seq = 6", "names no shape"),
    ("UPDATE events SET offset = offset + 1 WHERE seq = 6", "no line begins and ends there"),
    ("UPDATE events SET length = length - 1 WHERE seq = 6", "no line begins and ends there"),
    ("UPDATE events SET offset = 1000000 WHERE seq = 6", "nothing that counts"),
    ("UPDATE events SET offset = -5 WHERE seq = 6", "nothing that counts"),
    ("UPDATE chunks SET segment = '../../../x' WHERE number = (SELECT chunk FROM events WHERE seq = 6)", "no place"),
    (
        "UPDATE chunks SET segment = '000000000002.jsonl' WHERE number = (SELECT chunk FROM events WHERE seq = 6)",
        "is not",
    ),
]


@pytest.mark.parametrize(("statement", "why"), DOCTORED, ids=[why for _, why in DOCTORED])
def test_a_doctored_row_is_refused_and_reported(state: Path, statement: str, why: str) -> None:
    """It is not answered as anything, and the page says so; the other events are answered as before."""
    everything = ask(state).events
    doctor(state, statement)
    page = ask(state)
    assert any(why in each for each in page.index.refused), page.index.refused
    assert 6 not in [event["seq"] for event in page.events]
    assert [event for event in everything if event in page.events] == page.events
    assert ask(state, from_segments=True).events == everything


def test_a_row_that_was_put_in_is_refused(state: Path) -> None:
    """Of a line that somebody wrote behind what counts: it is no part of the ledger, whatever it looks like."""
    first = sorted((state / "audit" / STREAM).glob("*.jsonl"))[0]
    first.chmod(0o600)
    forged = lines(state / "audit")[3].replace(b'"d2"', b'"dx"')
    size = first.stat().st_size
    with first.open("ab") as file:
        file.write(forged + b"\n")
    row = "SELECT pos - 2048, chunk, seq, ?, ?, digest, shape, id, subject, session_id, request_id, ip, params"
    doctor(state, f"INSERT INTO events {row} FROM events WHERE seq = 4", size, len(forged))
    page = ask(state)
    assert [event["id"] for event in page.events].count("dx") == 0
    assert page.index.refused == (
        f"{STREAM}/{first.name}, byte {size}: it points to nothing that counts of the segment",
    )


@pytest.mark.parametrize("also_index", [False, True], ids=["ledger", "ledger and index"])
def test_a_changed_record_is_refused(state: Path, also_index: bool) -> None:
    """By its hash in the index and, where somebody changed that too, by the record that was chained to it."""
    segment = sorted((state / "audit" / STREAM).glob("*.jsonl"))[0]
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b'"id":"d2"', b'"id":"dX"'))
    why = "the line there has another hash"
    if also_index:
        shutil.rmtree(state / "index")
        index(state)
        why = "the record after it was chained to another one"
    page = ask(state)
    assert (2 in numbers(page), [each.rpartition(": ")[2] for each in page.index.refused]) == (False, [why])


def test_many_shapes_are_bounded_and_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of shapes too many, or too large, are looked at one by one."""
    monkeypatch.setattr(writer, "MOST_SHAPES", 3)
    events = [decision(number) for number in range(COUNT)]
    huge = {**decision(7).body, "roles": ["r" * 5000, "role9"]}  # type: ignore[dict-item]
    asyncio.run(record(tmp_path, [*events, Event("d777", "auth.scope_denied", huge)]))
    index(tmp_path)
    for asked, condition in QUESTIONS[:10]:
        page = ask(tmp_path, **asked)
        assert ([n for n in numbers(page) if n != 777], page.index.state) == (matching(condition), "used")
    assert numbers(ask(tmp_path, role="role9")) == [777]


@pytest.mark.parametrize("written_on", [False, True])
def test_another_ledger_or_an_older_state_is_not_answered_from_this_index(state: Path, written_on: bool) -> None:
    """Put back, and perhaps written on since: the segments are read until the index was built again."""
    newest = max((state / "audit" / STREAM).glob("*.jsonl"))
    newest.unlink()
    if written_on:
        asyncio.run(record(state, [decision(500 + number) for number in range(9)], clock=StoppedClock(1_800_000_300.0)))
        assert newest.exists()
    expected = ask(state, from_segments=True)
    page = ask(state)
    assert (page.events, page.index.state) == (expected.events, "unusable")
    index(state)
    assert (ask(state).events, ask(state).index.state) == (expected.events, "used")


@pytest.mark.parametrize("damage", ["garbage", "older schema", "gone"])
def test_an_index_that_is_lost_is_built_again(state: Path, damage: str) -> None:
    """And until then the segments are read."""
    expected, path = ask(state).events, index_path(state)
    for each in path.parent.glob("*"):
        if damage == "garbage":
            each.write_bytes(b"x" * 8192)
        elif damage == "older schema":
            each.rename(each.with_name(each.name.replace(f".{SCHEMA}.", ".0.")))
        else:
            each.unlink()
    assert ask(state).events == expected
    index(state)
    page = ask(state)
    assert (page.events, page.index.state, [each.name for each in path.parent.glob("*.0.*")]) == (expected, "used", [])


def test_pruned_segments_are_not_found(state: Path) -> None:
    """Whether the index knows of it yet or not, without a word of refusal; then their rows are gone."""
    first = sorted((state / "audit" / STREAM).glob("*.jsonl"))[0]
    gone = len(first.read_bytes().splitlines())
    kept = ask(state).events[:-gone]
    first.unlink()
    page = ask(state)
    assert (page.events, page.index.refused) == (kept, ())
    index(state)
    page = ask(state)
    assert (page.events, page.index.state, page.index.refused) == (kept, "used", ())
    with sqlite3.connect(index_path(state)) as database:
        assert database.execute("SELECT count(*), min(seq) FROM events").fetchone() == (len(kept), gone + 1)
        in_params = database.execute("SELECT count(DISTINCT pos) FROM params").fetchone()[0]
        assert in_params == sum("params" in event for event in kept)
    database.close()


def test_a_full_disk_stops_the_index_and_nothing_else(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and goes on when there is room; the answers are whole all the time."""
    shutil.rmtree(state / "index")
    clock = StoppedClock()
    trail = Trail(state / "audit", [IndexWriter(state)], clock)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(IndexWriter, "_take", full)
        trail._round()
    total = len(lines(state / "audit"))
    failure = "OperationalError: database or disk is full"
    assert trail.status() == (ConsumerStatus("index", total, failure, 1),)
    assert numbers(ask(state)) == matching("True")
    clock.time += 10
    trail.catch_up()
    assert (trail.status(), ask(state).index.from_segments) == ((ConsumerStatus("index", failures=1),), 0)


def test_an_index_that_is_removed_while_it_is_written_is_built_again(state: Path) -> None:
    """Nobody has to restart anything."""
    clock = StoppedClock()
    trail = Trail(state / "audit", [IndexWriter(state)], clock)
    trail._round()
    shutil.rmtree(state / "index")
    asyncio.run(record(state, [decision(61)], clock=StoppedClock(1_800_000_200.0)))
    trail._round()
    assert [each.failures for each in trail.status()] == [1]
    clock.time += 10
    trail.catch_up()
    page = ask(state)
    assert (numbers(page), page.index.state, page.index.from_segments) == ([61, *matching("True")], "used", 0)


_LIFE = """
import sys
from pathlib import Path
from authz.audit.index import IndexWriter
from authz.audit.trail import Trail, reading
from tests.audit.ledger import SystemClock
reading.BATCH_BYTES = 3000
state = Path(sys.argv[1])
Trail(state / "audit", [IndexWriter(state)], SystemClock()).catch_up()
"""


@pytest.mark.slow
@pytest.mark.timeout(120 + 3 * KILLS)
def test_killed_at_any_moment_it_catches_up(original: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of its work, again and again: the next life goes on, and nothing is missing or twice."""
    tool = shutil.which("strace")
    if tool is None:
        from tests.conftest import missing

        missing("strace")
    state = Path(shutil.copytree(original, tmp_path / "state"))
    expected = ask(original).events
    shutil.rmtree(state / "index")
    killed = 0
    for number in range(KILLS):
        inject = f"inject=pwrite64:signal=KILL:when={5 + 7 * number}"
        command = [tool or "", "-f", "-qq", "-o", os.devnull, "-e", "trace=pwrite64", "-e", inject]
        done = subprocess.run([*command, sys.executable, "-c", _LIFE, str(state)], timeout=60, check=False)
        killed += done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}
        page = ask(state)
        assert (page.events, page.index.refused) == (expected, ()), number
    index(state)
    page = ask(state)
    assert (page.events, page.index.state, page.index.from_segments) == (expected, "used", 0)
    assert killed > 0


def test_no_clear_value_is_in_the_file(original: Path) -> None:
    """What differs from record to record is there as a hash only."""
    data = index_path(original).read_bytes()
    assert [word for word in (b"subject3", b"10.0.0", b"item9", b"q17") if word in data] == []


def test_the_file_is_for_its_owner_only(original: Path) -> None:
    """As the ledger's are."""
    assert (index_path(original).stat().st_mode & 0o777, index_path(original).parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )


def test_an_answer_can_be_written_as_json(original: Path) -> None:
    """Events, cursor, and what the index had to do with it."""
    page = ask(original, 1)
    assert msgspec.json.decode(msgspec.json.encode(page))["index"] == {
        "state": "used",
        "why": None,
        "through": {STREAM: len(lines(original / "audit"))},
        "from_segments": 0,
        "refused": [],
    }


def test_small_batches_make_the_same_index(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pieces in which it was taken."""
    monkeypatch.setattr(trail_reading, "BATCH_BYTES", 700)
    state = Path(shutil.copytree(original, tmp_path / "state"))
    shutil.rmtree(state / "index")
    index(state)
    contents = []
    for each in (original, state):
        with sqlite3.connect(index_path(each)) as database:
            contents.append(list(database.iterdump()))
        database.close()
    assert contents[0] == contents[1]
