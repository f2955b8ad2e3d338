"""Segments in either form: whatever reads a ledger reads both."""

import asyncio
import io
from pathlib import Path

import pytest

from authz.audit import LedgerWriter, WriterLimits, get_audit_events, stream_summaries, verify
from authz.audit.extent import extents, lines_backward, lines_forward
from authz.audit.frames import blocks_of, compressed
from authz.audit.segment import segment_names
from authz.audit.stored import compressed_path, open_segment, segment_bytes, stored_bytes

from .ledger import STREAM, assert_sound, event, ids, lines, writer


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """An audit directory with one stream of several segments."""
    asyncio.run(fill(tmp_path, 40))
    assert len(segment_names(tmp_path / STREAM)) > 4
    return tmp_path


async def fill(directory: Path, count: int) -> None:
    ledger: LedgerWriter = writer(directory, limits=WriterLimits(segment_bytes=2_000))
    await ledger.open()
    for number in range(count):
        await ledger.record(event(f"e{number}"))
    await ledger.close()


def squeeze(path: Path, *, keep: bool = False) -> None:
    """Compress a segment the plainest way."""
    compressed_path(path).write_bytes(b"".join(compressed(blocks_of(io.BytesIO(path.read_bytes())))))
    if not keep:
        path.unlink()


def test_a_compressed_ledger_says_the_same_as_the_raw_one(ledger: Path) -> None:
    """Verification, search, summaries, forward and backward reading, over any mixture of forms."""
    stream = ledger / STREAM
    before = (verify(ledger), get_audit_events(path=ledger, limit=1000), stream_summaries(ledger)[0].last_seq)
    forward = lines(ledger)
    for number, name in enumerate(segment_names(stream)):
        if number % 3:
            squeeze(stream / name)
    assert (verify(ledger), get_audit_events(path=ledger, limit=1000), stream_summaries(ledger)[0].last_seq) == before
    assert lines(ledger) == forward
    backward = [line for each in reversed(extents(stream)) for line in lines_backward(each.path, each.counted_bytes)]
    assert backward[::-1] == forward
    assert verify(ledger, parse=False).streams == before[0].streams


def test_a_reader_that_saw_the_raw_file_before_it_went_reads_the_other(ledger: Path) -> None:
    """Compression beside a reader is no hindrance."""
    stream = ledger / STREAM
    found = extents(stream)
    data = found[0].path.read_bytes()
    squeeze(found[0].path)
    assert b"".join(lines_forward(found[0].path, found[0].counted_bytes)) == data
    assert segment_bytes(found[0].path) == len(data)
    assert stored_bytes(found[0].path) == compressed_path(found[0].path).stat().st_size < len(data)


def test_where_both_forms_are_there_the_raw_one_is_read(ledger: Path) -> None:
    """And the segment is listed once."""
    path = ledger / STREAM / segment_names(ledger / STREAM)[0]
    names, data = segment_names(path.parent), path.read_bytes()
    squeeze(path, keep=True)
    compressed_path(path).write_bytes(b"not what it should be")
    assert segment_names(path.parent) == names
    with open_segment(path) as file:
        assert file.read() == data
    assert_sound(ledger, [f"e{number}" for number in range(40)])


def test_where_there_is_neither_form_the_raw_name_is_missed(tmp_path: Path) -> None:
    """The error names what was asked for."""
    path = tmp_path / "000000000001.jsonl"
    for look in (open_segment, segment_bytes):
        with pytest.raises(FileNotFoundError) as caught:
            look(path)
        assert caught.value.filename == str(path)


def test_a_stream_goes_on_after_a_compressed_segment(ledger: Path) -> None:
    """Even if it is the last one that counts: recovery reads it like any other."""
    path = ledger / STREAM / segment_names(ledger / STREAM)[-1]
    squeeze(path)
    asyncio.run(fill(ledger, 3))
    assert ids(ledger)[-4:] == ["e39", "e0", "e1", "e2"]
    assert verify(ledger).issues == ()


def test_a_damaged_compressed_segment_is_named_and_the_others_are_read(ledger: Path) -> None:
    """All findings are at that segment; it does not hide the rest of the stream."""
    path = ledger / STREAM / segment_names(ledger / STREAM)[1]
    squeeze(path)
    compressed_path(path).write_bytes(compressed_path(path).read_bytes()[:-3])
    found = verify(ledger)
    assert {issue.segment for issue in found.issues} == {path.name}
    assert "segment_unreadable" in {issue.kind for issue in found.issues}
    assert found.streams[0].segments == len(segment_names(path.parent))
