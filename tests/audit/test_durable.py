"""The durable mark: what the auditor may sign up to."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit import WriterLimits
from authz.audit.durable import MARK_NAME, Mark, mark_text, read_mark
from authz.core import AuditUnavailableError
from tests.properties import many

from .ledger import STREAM, FaultyFiles, assert_sound, event, lines, writer

MARKS = st.builds(Mark, st.integers(1, 10**12 - 1), st.integers(0, 10**15 - 1), st.integers(0, 10**12 - 1))


def on_disk(directory: Path) -> Mark:
    """The mark that fits what stands in the last segment."""
    last = max((directory / STREAM).glob("*.jsonl"))
    return Mark(int(last.stem), last.stat().st_size, len(lines(directory)))


async def test_what_was_acknowledged_is_marked(tmp_path: Path) -> None:
    """After the opening, after each record and each rotation, and when the stream was closed."""
    ledger = writer(tmp_path, limits=WriterLimits(segment_bytes=2000))
    await ledger.open()
    assert read_mark(tmp_path / STREAM) == on_disk(tmp_path)
    for number in range(12):
        await ledger.record(event(f"e{number}", pad="x" * 300))
        found = read_mark(tmp_path / STREAM)
        assert found is not None
        assert found.seq <= on_disk(tmp_path).seq
        assert f'"id":"e{number}"'.encode() in b"".join(lines(tmp_path)[: found.seq])
    await ledger.close()
    assert len(list((tmp_path / STREAM).glob("*.jsonl"))) > 2
    assert read_mark(tmp_path / STREAM) == on_disk(tmp_path)


async def test_a_group_that_may_be_lost_is_not_marked(tmp_path: Path) -> None:
    """A failed fdatasync leaves lines on the disk that nobody may sign; the mark is moved by the next segment."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(retry_seconds=60))
    await ledger.open()
    before = read_mark(tmp_path / STREAM)
    files.fail("fdatasync", errno.EIO)
    files.fail("create", errno.EIO)
    with pytest.raises(AuditUnavailableError):
        await ledger.record(event("lost"))
    assert before is not None
    assert read_mark(tmp_path / STREAM) == before
    assert (tmp_path / STREAM / "000000000001.jsonl").stat().st_size > before.size_bytes
    await ledger.close()


async def test_a_mark_that_cannot_be_written_fails_no_record_and_is_told(tmp_path: Path) -> None:
    """The old mark stays as it was, which is still true; the failure is there to be seen until it is over."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    before = read_mark(tmp_path / STREAM)
    files.fail("overwrite", errno.EIO)
    files.fail("open_mark", errno.EACCES)
    told = []
    for name in "ab":
        await ledger.record(event(name))
        told.append((dict(ledger.troubles), ledger.healthy, read_mark(tmp_path / STREAM) == before))
    assert told == [
        ({"durable mark": "[Errno 5] EIO"}, True, True),
        ({"durable mark": "[Errno 13] EACCES"}, True, True),
    ]
    await ledger.record(event("c"))
    assert ledger.troubles == {}
    assert read_mark(tmp_path / STREAM) == on_disk(tmp_path)
    await ledger.close()
    assert_sound(tmp_path, ["a", "b", "c"])


@many
@given(MARKS, MARKS, st.integers(0, 51))
def test_a_mark_met_in_the_middle_of_its_writing_is_none_or_one_of_the_two(
    tmp_path_factory: pytest.TempPathFactory, old: Mark, new: Mark, done: int
) -> None:
    """Whatever number of bytes of the new one is there."""
    directory = tmp_path_factory.mktemp("mark")
    (directory / MARK_NAME).write_bytes(mark_text(new)[:done] + mark_text(old)[done:])
    assert read_mark(directory) in {None, old, new}
    (directory / MARK_NAME).write_bytes(mark_text(new))
    assert read_mark(directory) == new


@pytest.mark.parametrize("text", [b"", b"000000000001", b"\0" * 51, mark_text(Mark(1, 2, 3)) + b"x"])
def test_what_is_no_mark_is_none(tmp_path: Path, text: bytes) -> None:
    """An empty file, a cut one, a hole, one with something behind it; and no file at all."""
    assert read_mark(tmp_path) is None
    (tmp_path / MARK_NAME).write_bytes(text)
    assert read_mark(tmp_path) is None


async def test_the_mark_is_its_owner_s_alone(tmp_path: Path) -> None:
    """As the segments are."""
    ledger = writer(tmp_path)
    await ledger.open()
    await ledger.close()
    assert (tmp_path / STREAM / MARK_NAME).stat().st_mode & 0o777 == 0o600
