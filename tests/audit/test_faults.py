"""The writer on a disk that fails: nothing acknowledged, no second try on a file, ordinary recovery."""

import asyncio
import errno
import time
from pathlib import Path

import pytest

from authz.audit import LedgerWriter, WriterLimits, verify
from authz.core import AuditUnavailableError

from .ledger import STREAM, FaultyFiles, assert_sound, event, ids, records, writer

QUICK = WriterLimits(retry_seconds=0.01, retry_most_seconds=0.02)


async def until_healthy(ledger: LedgerWriter) -> None:
    async with asyncio.timeout(30):
        while not ledger.healthy:
            await asyncio.sleep(0.002)


async def outcome(ledger: LedgerWriter, name: str) -> str:
    """`name` when it was acknowledged, else the failure."""
    try:
        await ledger.record(event(name))
    except AuditUnavailableError as error:
        return str(error)
    return name


def torn(files: FaultyFiles) -> None:
    """The system takes 40 bytes of the group, then there is no space left."""
    files.most_bytes = 40
    files.fail("write", None, errno.ENOSPC)


FAULTS = {
    "no space at write": lambda files: files.fail("write", errno.ENOSPC),
    "short write, then no space": torn,
    "lost page at fdatasync": lambda files: files.fail("fdatasync", errno.EIO),
    "no space at fdatasync": lambda files: files.fail("fdatasync", errno.ENOSPC),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_failed_group_is_not_acknowledged_and_the_stream_goes_on(tmp_path: Path, fault) -> None:  # type: ignore[no-untyped-def]
    """Everything in flight and queued fails; a new segment says how much of the old one counts; nothing is lost."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=QUICK)
    await ledger.open()
    await ledger.record(event("before"))
    counted = (tmp_path / STREAM / "000000000001.jsonl").stat().st_size
    files.gate.clear()
    held = [asyncio.create_task(outcome(ledger, f"held{number}")) for number in range(3)]
    await asyncio.sleep(0.02)  # the first group is in the device, or failed on its way there
    queued = [asyncio.create_task(outcome(ledger, f"queued{number}")) for number in range(3)]
    await asyncio.sleep(0)
    fault(files)
    files.gate.set()
    results = await asyncio.gather(*held, *queued)
    files.most_bytes = None
    await until_healthy(ledger)
    await ledger.record(event("after"))
    await ledger.close()
    acknowledged = [name for name in results if name.startswith(("held", "queued"))]
    assert len(acknowledged) <= 3
    assert all("ENOSPC" in text or "EIO" in text for text in results if text not in acknowledged)
    opening = next(record for record in records(tmp_path) if record.get("reason") == "recover")
    assert opening["previous_segment"] == "000000000001.jsonl"
    assert opening["previous_bytes"] >= counted  # type: ignore[operator]
    assert_sound(tmp_path, ["before", *acknowledged, "after"])


async def test_a_failed_fdatasync_is_never_tried_again(tmp_path: Path) -> None:
    """After EIO the old file sees no further write or fdatasync, keeps every byte, and ends up sealed."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=QUICK)
    await ledger.open()
    segment = tmp_path / STREAM / "000000000001.jsonl"
    opened_bytes = segment.stat().st_size
    files.log.clear()
    files.fail("fdatasync", errno.EIO)
    assert await outcome(ledger, "lost") == "The record is not durable: [Errno 5] EIO"
    await until_healthy(ledger)
    assert files.log == ["write", "fdatasync", "create", "write", "fdatasync", "sync_directory"]
    assert segment.stat().st_size > opened_bytes
    assert segment.stat().st_mode & 0o777 == 0o440
    await ledger.close()
    assert ids(tmp_path) == []
    [note] = [note for note in verify(tmp_path).notes if note.kind == "ignored_tail"]
    assert (note.segment, note.offset) == ("000000000001.jsonl", opened_bytes)
    assert_sound(tmp_path, [])


async def test_while_no_segment_can_be_opened_every_call_fails(tmp_path: Path) -> None:
    """Each try fails at another step; callers are told at once; the names of failed tries do not stay."""
    files = FaultyFiles()
    heard: list[str | None] = []
    ledger = writer(tmp_path, files=files, limits=QUICK, on_health=heard.append)
    await ledger.open()
    await ledger.record(event("before"))
    files.fail("fdatasync", errno.EIO, None, errno.EIO)
    files.fail("create", errno.ENOSPC, errno.EROFS)
    files.fail("write", None, errno.ENOSPC)
    files.fail("sync_directory", errno.EIO)
    assert await outcome(ledger, "lost") == "The record is not durable: [Errno 5] EIO"
    assert await outcome(ledger, "early") == "The ledger takes no records: [Errno 5] EIO"
    await until_healthy(ledger)
    await ledger.record(event("after"))
    await ledger.close()
    assert heard[0] is None
    assert heard[-1] is None
    assert [text for text in heard[1:-1] if text is None] == []
    assert len(heard) >= 6
    names = sorted(path.name for path in (tmp_path / STREAM).iterdir())
    assert names == ["000000000001.jsonl", "000000000003.jsonl", "durable", "lock"]
    assert_sound(tmp_path, ["before", "after"])


async def test_a_disk_that_takes_segments_but_no_records_is_not_filled_with_them(tmp_path: Path) -> None:
    """Tries get rarer until a record becomes durable again."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(retry_seconds=0.05, retry_most_seconds=0.1))
    await ledger.open()
    files.fail("write", *[errno.ENOSPC, None] * 1000)
    begun = time.monotonic()
    async with asyncio.timeout(30):
        for _ in range(40):
            assert await outcome(ledger, "lost") != "lost"
            await asyncio.sleep(0.01)
    assert 3 <= files.log.count("create") <= 4 + (time.monotonic() - begun) / 0.1
    files.forgive()
    await until_healthy(ledger)
    await ledger.record(event("after"))
    await ledger.close()
    assert_sound(tmp_path, ["after"])


async def test_the_first_failure_after_a_durable_record_is_met_at_once(tmp_path: Path) -> None:
    """However long the tries have come to be apart."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(retry_seconds=60))
    await ledger.open()
    for number in range(3):
        files.fail("write", errno.ENOSPC)
        assert await outcome(ledger, "lost") != "lost"
        await until_healthy(ledger)
        await ledger.record(event(f"e{number}"))
    await ledger.close()
    assert_sound(tmp_path, ["e0", "e1", "e2"])


async def test_what_failed_does_not_wait_any_longer(tmp_path: Path) -> None:
    """A queue that was full when the disk failed is empty afterwards, in records and in bytes."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(pending_bytes=500, retry_seconds=0.01))
    await ledger.open()
    files.fail("write", errno.EIO)
    results = await asyncio.gather(*(outcome(ledger, name) for name in "abc"))
    assert set(results) == {"The record is not durable: [Errno 5] EIO"}
    assert ledger.pending == 0
    await until_healthy(ledger)
    await asyncio.gather(*(ledger.record(event(name)) for name in "def"))
    await ledger.close()
    assert_sound(tmp_path, ["d", "e", "f"])


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "sync_directory"])
async def test_a_failure_during_rotation_loses_nothing_acknowledged(tmp_path: Path, operation: str) -> None:
    """Whichever step of opening the next segment fails."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(segment_bytes=1500, retry_seconds=0.01))
    await ledger.open()
    files.fail(operation, *([] if operation in ("create", "sync_directory") else [None, None, None]), errno.EIO)
    acknowledged = []
    for number in range(20):
        if await outcome(ledger, f"e{number}") == f"e{number}":
            acknowledged.append(f"e{number}")
        await until_healthy(ledger)
    await ledger.close()
    assert len(acknowledged) >= 17
    assert_sound(tmp_path, acknowledged)


async def test_a_leftover_of_a_failed_rotation_does_not_block_its_name(tmp_path: Path) -> None:
    """A segment whose first record was lost is set aside; the stream takes its number again."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=QUICK)
    await ledger.open()
    leftover = tmp_path / STREAM / "000000000002.jsonl"
    leftover.write_bytes(b'{"prev":"')
    files.fail("fdatasync", errno.EIO)
    await outcome(ledger, "lost")
    await until_healthy(ledger)
    await ledger.record(event("after"))
    await ledger.close()
    names = sorted(path.name for path in (tmp_path / STREAM).iterdir())
    assert names == ["000000000001.jsonl", "000000000002.jsonl", "000000000002.void", "durable", "lock"]
    assert [note.kind for note in verify(tmp_path).notes] == ["ignored_tail", "set_aside", "uncovered"]
    assert_sound(tmp_path, ["after"])


async def test_short_writes_are_no_failure(tmp_path: Path) -> None:
    """A system that takes seven bytes at a time gets all of them in the end."""
    files = FaultyFiles()
    files.most_bytes = 7
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    await asyncio.gather(*(ledger.record(event(f"e{number}")) for number in range(5)))
    await ledger.close()
    assert_sound(tmp_path, [f"e{number}" for number in range(5)])


async def test_a_system_that_takes_nothing_is_a_failure(tmp_path: Path) -> None:
    """A write of zero bytes does not spin for ever."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=QUICK)
    await ledger.open()
    files.most_bytes = 0
    assert await outcome(ledger, "a") == "The record is not durable: [Errno 5] the system took none of the bytes"
    files.most_bytes = None
    await until_healthy(ledger)
    await ledger.close()
    assert_sound(tmp_path, [])


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "sync_directory"])
async def test_a_stream_that_cannot_be_opened_says_why_and_is_free_again(tmp_path: Path, operation: str) -> None:
    """open() fails with the system's reason; the next try with a healthy disk works."""
    files = FaultyFiles()
    files.fail(operation, errno.EACCES)
    ledger = writer(tmp_path, files=files)
    with pytest.raises(AuditUnavailableError, match=r"The ledger cannot be opened: .*EACCES"):
        await ledger.open()
    assert not ledger.healthy
    await ledger.close()
    again = writer(tmp_path)
    await again.open()
    await again.record(event("a"))
    await again.close()
    assert_sound(tmp_path, ["a"])


async def test_what_recovery_adopts_is_made_durable_first(tmp_path: Path) -> None:
    """Lines found after a crash may be in the page cache only: they are synced before anything is chained to them."""
    first = writer(tmp_path)
    await first.open()
    await first.record(event("a"))
    await first.close()
    files = FaultyFiles()
    files.fail("fdatasync", errno.EIO)
    second = writer(tmp_path, files=files)
    with pytest.raises(AuditUnavailableError, match="EIO"):
        await second.open()
    assert files.log == ["fdatasync"]
    await second.close()
    assert_sound(tmp_path, ["a"])


async def test_closing_on_a_failing_disk_says_so_and_gives_the_stream_free(tmp_path: Path) -> None:
    """The end is not recorded; the next start recovers."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    await ledger.record(event("a"))
    files.fail("fdatasync", errno.EIO)
    with pytest.raises(AuditUnavailableError, match="EIO"):
        await ledger.close()
    again = writer(tmp_path)
    await again.open()
    await again.close()
    assert_sound(tmp_path, ["a"])
