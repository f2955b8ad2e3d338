"""Room on the disk: the ballast, the last records, and how long the room lasts."""

import asyncio
import errno
import math
from pathlib import Path

import pytest

from authz.audit import LedgerWriter, WriterLimits
from authz.audit.disk import BALLAST_NAME, WriteRate, days_left
from authz.core import AuditUnavailableError

from .ledger import STREAM, FaultyFiles, assert_sound, event, ids, records, writer

KEPT = 100_000
LIMITS = WriterLimits(ballast_bytes=KEPT, retry_seconds=60, retry_most_seconds=60)


def full(files: FaultyFiles, directory: Path) -> None:
    """The disk takes nothing more until the ballast is gone."""
    real_write = FaultyFiles.write

    def write(fd: int, data: bytes | memoryview) -> int:
        if (directory / STREAM / BALLAST_NAME).exists():
            raise OSError(errno.ENOSPC, "ENOSPC")
        return real_write(files, fd, data)

    files.write = write  # type: ignore[method-assign]


def taken_up(path: Path) -> int:
    """Size of a file in bytes; -1 while there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


async def opened(directory: Path, files: FaultyFiles, limits: WriterLimits = LIMITS) -> LedgerWriter:
    ledger = writer(directory, files=files, limits=limits)
    await ledger.open()
    async with asyncio.timeout(30):
        while not (ledger.troubles or taken_up(directory / STREAM / BALLAST_NAME) >= limits.ballast_bytes):
            await asyncio.sleep(0.001)
    return ledger


async def test_the_ballast_takes_up_room_and_is_kept_over_restarts(tmp_path: Path) -> None:
    """Blocks of the disk, not a hole; made once."""
    ledger = await opened(tmp_path, FaultyFiles())
    found = (tmp_path / STREAM / BALLAST_NAME).stat()
    assert (found.st_size, found.st_mode & 0o777) == (KEPT, 0o600)
    assert found.st_blocks * 512 >= KEPT
    await ledger.close()
    again = await opened(tmp_path, FaultyFiles())
    await again.close()
    assert (tmp_path / STREAM / BALLAST_NAME).stat().st_ino == found.st_ino


@pytest.mark.parametrize("operation", ["room", "allocate", "create"])
async def test_a_ballast_that_cannot_be_had_fails_no_record_and_is_told(tmp_path: Path, operation: str) -> None:
    """No room, or no way to take it up: nothing is left of it, and the ledger says that it has none."""
    files = FaultyFiles()
    if operation == "room":
        files.room_bytes = 2 * KEPT - 1
    else:
        files.fail(operation, *([None] if operation == "create" else []), errno.ENOSPC)
    ledger = await opened(tmp_path, files)
    await ledger.record(event("a"))
    said = {"room": "there is no room for the ballast"}.get(operation, "[Errno 28] ENOSPC")
    assert (ledger.troubles, ledger.healthy) == ({"ballast": said}, True)
    await ledger.close()
    assert not (tmp_path / STREAM / BALLAST_NAME).exists()
    assert_sound(tmp_path, ["a"])


async def test_on_a_full_disk_the_last_records_still_fit(tmp_path: Path) -> None:
    """Ordinary records fail; at the end the ballast is given free, and the ledger is closed in order."""
    files = FaultyFiles()
    ledger = await opened(tmp_path, files)
    await ledger.record(event("before"))
    full(files, tmp_path)
    for _ in range(2):
        with pytest.raises(AuditUnavailableError, match="ENOSPC"):
            await ledger.record(event("lost"))
    assert (tmp_path / STREAM / BALLAST_NAME).exists()
    assert await ledger.make_way()
    await ledger.record(event("last"))
    await ledger.close()
    assert not (tmp_path / STREAM / BALLAST_NAME).exists()
    assert ids(tmp_path) == ["before", "last"]
    assert records(tmp_path)[-1]["type"] == "audit.segment_close"
    assert_sound(tmp_path, ["before", "last"])


async def test_a_ledger_that_is_well_keeps_its_ballast(tmp_path: Path) -> None:
    """To make way is nothing to do then; nor is it for one that is closed, which takes no records."""
    ledger = await opened(tmp_path, FaultyFiles())
    assert await ledger.make_way()
    await ledger.close()
    assert (tmp_path / STREAM / BALLAST_NAME).exists()
    assert not await ledger.make_way()


async def test_a_disk_that_fails_in_another_way_is_told_at_the_end(tmp_path: Path) -> None:
    """One more try, then no."""
    files = FaultyFiles()
    ledger = await opened(tmp_path, files)
    files.fail("write", *[errno.EIO] * 10)
    with pytest.raises(AuditUnavailableError):
        await ledger.record(event("lost"))
    assert not await ledger.make_way()
    await ledger.close()
    files.forgive()
    assert_sound(tmp_path, [])


async def test_a_patient_start_on_a_full_disk_waits_for_room(tmp_path: Path) -> None:
    """Where the stream could be read; its records fail until then. An impatient start fails at once."""
    first = await opened(tmp_path, FaultyFiles())
    await first.close()
    files = FaultyFiles()
    files.fail("write", errno.ENOSPC, errno.ENOSPC)
    with pytest.raises(AuditUnavailableError, match="ENOSPC"):
        await writer(tmp_path, files=files).open()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(retry_seconds=0.05))
    await ledger.open(patient=True)
    assert ledger.failure == "[Errno 28] ENOSPC"
    with pytest.raises(AuditUnavailableError, match="takes no records"):
        await ledger.record(event("early"))
    async with asyncio.timeout(30):
        while not ledger.healthy:
            await asyncio.sleep(0.005)
    await ledger.record(event("after"))
    await ledger.close()
    assert_sound(tmp_path, ["after"])


async def test_patience_is_not_for_a_stream_that_cannot_be_read_or_is_another_s(tmp_path: Path) -> None:
    """Where it stands is not known then: to go on would be to guess."""
    first = await opened(tmp_path, FaultyFiles())
    with pytest.raises(AuditUnavailableError, match="another process"):
        await writer(tmp_path).open(patient=True)
    await first.close()
    files = FaultyFiles()
    files.fail("read_back", errno.EIO)
    with pytest.raises(AuditUnavailableError, match="EIO"):
        await writer(tmp_path, files=files).open(patient=True)


def test_the_rate_is_that_of_the_last_day() -> None:
    """Unknown for the first minute; then of what was seen; after a day, of a day."""
    rate = WriteRate()
    assert [rate.bytes_per_second(at, 0) for at in (0, 59)] == [None, None]
    assert rate.bytes_per_second(100, 1000) == 10
    hour, quiet = 3600, 24 * 3600 * 10
    for at in range(hour, 24 * hour, 60):
        rate.bytes_per_second(at, at * 10)
    found = [rate.bytes_per_second(at, quiet + (at - 24 * hour) * 1000) for at in range(24 * hour, 48 * hour + 600, 60)]
    assert found[0] == 10
    assert found[len(found) // 2] == pytest.approx(505, rel=0.01)
    assert found[-1] == pytest.approx(1000, rel=0.01)


def test_days_left_at_rest_and_unknown() -> None:
    """Infinite where nothing is written, NaN where nothing is known."""
    assert days_left(86_400 * 10, 10.0) == 1.0
    assert days_left(1, 0.0) == math.inf
    assert math.isnan(days_left(1, None))
