"""What verification finds, what it does not call damage, and what it says it cannot know."""

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.audit import (
    Issue,
    LedgerUnreadableError,
    LedgerWriter,
    StreamReport,
    WriterLimits,
    verify,
    verify_audit_integrity,
)

from .ledger import STREAM, SystemClock, event, writer


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit directory with one stream of three segments."""
    directory = tmp_path_factory.mktemp("small")
    asyncio.run(_fill(directory, WriterLimits(segment_bytes=700), 5))
    assert len(_segments(directory)) == 3
    return directory


async def _fill(directory: Path, limits: WriterLimits, count: int) -> None:
    ledger = writer(directory, limits=limits)
    await ledger.open()
    for number in range(count):
        await ledger.record(event(f"e{number}"))
    await ledger.close()


@pytest.fixture
def ledger(small: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return _copy(small, tmp_path / "audit")


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    for path in _segments(target):
        path.chmod(0o600)
    return target


def _segments(directory: Path) -> list[Path]:
    return sorted((directory / STREAM).glob("*.jsonl"))


def _put(path: Path, at: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([value]))


def _kinds(directory: Path) -> list[str]:
    return [issue.kind for issue in verify(directory).issues]


def _edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(lines)))


def test_an_untouched_ledger_is_intact(ledger: Path) -> None:
    """No issue; the report says what counts; the note says what a chain alone cannot tell."""
    found = verify(ledger)
    size = sum(path.stat().st_size for path in _segments(ledger))
    assert found.issues == ()
    assert found.streams == (StreamReport(STREAM, 3, 11, size, 11),)
    assert [(note.kind, note.segment) for note in found.notes] == [("uncovered", _segments(ledger)[-1].name)]
    assert verify(ledger, parse=False).streams == found.streams


def test_a_state_directory_an_audit_directory_or_a_stream_can_be_named(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, AUTHZ_STATE, `.state` and `.` lead to the same ledger."""
    audit = _copy(small, tmp_path / "audit")
    expected = verify(audit)
    assert verify(tmp_path) == expected
    assert verify(str(audit / STREAM)) == expected
    monkeypatch.setenv("AUTHZ_STATE", str(tmp_path))
    assert verify() == expected
    assert verify_audit_integrity() == (True, [])
    monkeypatch.delenv("AUTHZ_STATE")
    _copy(small, tmp_path / ".state" / "audit")
    monkeypatch.chdir(tmp_path)
    assert verify() == expected
    monkeypatch.chdir(audit / STREAM)
    assert verify(".") == expected


def test_where_there_is_no_ledger_there_is_no_answer(tmp_path: Path) -> None:
    """An absent or empty directory is neither intact nor damaged."""
    with pytest.raises(LedgerUnreadableError, match="No such file or directory"):
        verify_audit_integrity(tmp_path / "nowhere")
    with pytest.raises(LedgerUnreadableError, match="there is no ledger in it"):
        verify_audit_integrity(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("parse", [True, False], ids=["full", "chain only"])
def test_any_changed_byte_of_a_record_with_a_successor_is_found(small: Path, tmp_path: Path, parse: bool) -> None:
    """Every byte of the ledger, LFs too, but for the very last record."""
    directory = _copy(small, tmp_path / "audit")
    last = _segments(directory)[-1]
    missed = []
    for path in _segments(directory):
        data = path.read_bytes()
        end = data.rindex(b'{"prev"') if path == last else len(data)
        for at in range(end):
            _put(path, at, data[at] ^ 1)
            if verify(directory, parse=parse).intact:
                missed.append((path.name, at))
            _put(path, at, data[at])
    assert missed == []


@settings(deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_whatever_a_byte_is_changed_to_it_is_found(
    small: Path, tmp_path_factory: pytest.TempPathFactory, place: float, value: int
) -> None:
    """LF, NUL, quotes: no value hides."""
    directory = tmp_path_factory.mktemp("changed") / "audit"
    _copy(small, directory)
    paths = _segments(directory)
    whole = b"".join(path.read_bytes() for path in paths)
    at = int(place * whole.rindex(b'{"prev"'))
    for path in paths:
        data = path.read_bytes()
        if at < len(data):
            _put(path, at, value)
            assert verify(directory).intact == (data[at] == value)
            return
        at -= len(data)


def test_a_finding_names_stream_segment_line_offset_kind_and_what_it_means(ledger: Path) -> None:
    """The changed line is named, not only the one that noticed."""
    path = _segments(ledger)[0]
    offset = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes().replace(b'"id":"e0"', b'"id":"e9"'))
    expected = Issue(
        stream="main",
        segment="000000000001.jsonl",
        line=2,
        offset=offset,
        kind="chain_broken",
        message=(
            "This is not the record that the next one (000000000001.jsonl, line 3) was chained to: one of the two was "
            "changed, or records between them were removed or added"
        ),
    )
    assert verify_audit_integrity(ledger) == (False, [expected])


def _without(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def test_a_removed_record_is_found(ledger: Path) -> None:
    """As a broken chain, a gap in the numbers and a segment that is too short."""
    _edit(_segments(ledger)[0], lambda lines: _without(lines, 1))
    assert _kinds(ledger) == ["chain_broken", "seq_gap", "segment_cut"]


def test_a_repeated_record_is_found(ledger: Path) -> None:
    """As a broken chain, a repeated number and a time that does not move; the counted bytes end elsewhere."""
    _edit(_segments(ledger)[0], lambda lines: [lines[0], lines[1], *lines[1:]])
    assert set(_kinds(ledger)) >= {"chain_broken", "seq_repeated", "time_reversed", "segment_grown"}


def test_swapped_records_are_found(ledger: Path) -> None:
    """Order is part of the chain."""
    _edit(_segments(ledger)[0], lambda lines: [lines[0], lines[2], lines[1], *lines[3:]])
    assert set(_kinds(ledger)) >= {"chain_broken", "seq_gap", "seq_repeated", "time_reversed"}


def _rechained(lines: list[bytes]) -> list[bytes]:
    """The lines with their hashes made to fit, as somebody with an editor and a script would."""
    chained = [lines[0]]
    for line in lines[1:]:
        prev = hashlib.sha256(chained[-1].rstrip(b"\n")).hexdigest().encode()
        chained.append(line[:9] + prev + line[73:])
    return chained


def test_a_removed_record_with_hashes_made_to_fit_is_found_by_its_number(ledger: Path) -> None:
    """Only parsing finds it inside a segment; without, the numbers at the segment's ends tell."""
    last = _segments(ledger)[-1]
    _edit(last, lambda lines: _rechained(_without(lines, 1)))
    assert _kinds(ledger) == ["seq_gap"]
    assert [issue.kind for issue in verify(ledger, parse=False).issues] == ["seq_gap"]


def test_a_time_that_was_set_back_is_found(ledger: Path) -> None:
    """Even when the hashes were made to fit."""
    year_before = re.compile(rb'"ts":"(\d{3})\d')
    _edit(
        _segments(ledger)[-1],
        lambda lines: _rechained([lines[0], year_before.sub(rb'"ts":"\g<1>0', lines[1]), *lines[2:]]),
    )
    assert _kinds(ledger) == ["time_reversed"]


def test_a_missing_segment_is_found_at_the_front_and_in_the_middle(ledger: Path) -> None:
    """The segment after it says what it follows."""
    first, second, third = _segments(ledger)
    second.unlink()
    assert [(issue.kind, issue.segment) for issue in verify(ledger).issues] == [("segment_missing", third.name)]
    first.unlink()
    assert [(issue.kind, issue.segment) for issue in verify(ledger).issues] == [("segment_missing", third.name)]


def test_a_cut_segment_is_found_when_another_follows(ledger: Path) -> None:
    """The next one says how long it was."""
    first = _segments(ledger)[0]
    first.write_bytes(first.read_bytes()[:-10])
    assert _kinds(ledger) == ["record_unreadable", "segment_cut", "chain_broken", "seq_gap"]


def test_bytes_added_after_an_orderly_end_are_found(ledger: Path) -> None:
    """A sealed segment does not grow."""
    first = _segments(ledger)[0]
    first.write_bytes(first.read_bytes() + b"{}\n")
    assert _kinds(ledger) == ["segment_grown"]


def test_a_foreign_or_renamed_segment_is_found(ledger: Path) -> None:
    """The first record says of which stream it is and with which number it begins."""
    last = _segments(ledger)[-1]
    last.rename(last.with_name("000000000777.jsonl"))
    assert _kinds(ledger) == ["segment_statement"]
    (ledger / STREAM).rename(ledger / "other")
    assert _kinds(ledger) == ["segment_statement"] * 4


def test_a_segment_that_does_not_begin_as_it_must_is_found(ledger: Path) -> None:
    """Its first record is no segment_open."""
    _edit(_segments(ledger)[-1], lambda lines: lines[1:])
    assert _kinds(ledger) == ["segment_statement", "chain_broken", "seq_gap"]


def test_a_segment_that_cannot_be_read_is_a_finding(ledger: Path) -> None:
    """The rest is verified all the same."""
    path = _segments(ledger)[1]
    path.unlink()
    path.mkdir()
    assert _kinds(ledger)[:2] == ["segment_statement", "segment_unreadable"]


def test_what_stands_after_the_last_record_is_noted_not_blamed(ledger: Path) -> None:
    """A record being written, or a torn one: it does not count."""
    last = _segments(ledger)[-1]
    whole = last.stat().st_size
    last.write_bytes(last.read_bytes() + b'{"prev":"00')
    found = verify(ledger)
    assert found.intact
    assert [(note.kind, note.offset) for note in found.notes] == [
        ("ignored_tail", whole),
        ("uncovered", found.notes[1].offset),
    ]


@pytest.mark.parametrize("left", [b"", b'{"prev":"00'])
def test_a_segment_that_is_being_opened_is_no_damage(ledger: Path, left: bytes) -> None:
    """Between its creation and its first record, or where a crash cut that short: it counts for nothing yet."""
    before = verify(ledger).streams[0]
    (ledger / STREAM / "000000000012.jsonl").write_bytes(left)
    found = verify(ledger)
    assert found.issues == ()
    assert (found.streams[0].records, found.streams[0].last_seq) == (before.records, before.last_seq)


def test_what_a_chain_alone_cannot_find_is_said(ledger: Path) -> None:
    """A change of the last record and a cut at the end pass, and the note says so."""
    last = _segments(ledger)[-1]
    _edit(last, lambda lines: lines[:-1])
    found = verify(ledger)
    assert found.intact
    [note] = found.notes
    assert note.kind == "uncovered"
    assert note.message == (
        "Not covered by a checkpoint yet: a change of the last record, a cut at the end or a ledger rewritten as a "
        "whole would not be found"
    )


async def test_streams_are_verified_one_by_one(tmp_path: Path) -> None:
    """Damage in one is reported under its name; the other is reported as it is."""
    for name in ("one", "two"):
        ledger = LedgerWriter(tmp_path, name, clock=SystemClock())
        await ledger.open()
        await ledger.record(event("a"))
        await ledger.close()
    path = tmp_path / "two" / "000000000001.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"id":"a"', b'"id":"b"'))
    found = verify(tmp_path)
    assert [issue.stream for issue in found.issues] == ["two"]
    assert [(report.stream, report.records) for report in found.streams] == [("one", 3), ("two", 3)]


async def test_a_stream_without_records_is_noted(tmp_path: Path) -> None:
    """A writer was killed before its first record, or everything was removed: only a checkpoint could tell."""
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / "lock").touch()
    found = verify(tmp_path)
    assert found.intact
    assert [note.kind for note in found.notes] == ["empty"]


def test_progress_adds_up_to_the_bytes_there_are(ledger: Path) -> None:
    """For a progress bar that ends where it should."""
    seen: list[int] = []
    verify(ledger, progress=seen.append)
    assert sum(seen) == sum(path.stat().st_size for path in _segments(ledger))
