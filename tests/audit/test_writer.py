"""The writer in fair weather: groups, order, bounds, rotation, closing."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from authz.audit import (
    InvalidEventError,
    Issue,
    LedgerWriter,
    WriterLimits,
    verify,
    verify_audit_integrity,
)
from authz.audit.recovery import GROUP_BYTES
from authz.core import AuditUnavailableError, ConfigurationError, Event, OverloadedError

from .ledger import STREAM, FaultyFiles, StoppedClock, SystemClock, assert_sound, event, ids, records, writer


async def test_a_new_stream_begins_with_its_statement_and_ends_with_its_count(tmp_path: Path) -> None:
    """segment_open says what the stream is and follows nothing; segment_close counts the records."""
    ledger = writer(tmp_path)
    await ledger.open()
    await ledger.record(event("a"))
    await ledger.close("shutdown")
    opening, middle, closing = records(tmp_path)
    del opening["prev"], opening["id"], opening["ts"], opening["boot_id"]
    assert opening == {
        "seq": 1,
        "type": "audit.segment_open",
        "format": "authz-ledger/1",
        "stream": "main",
        "pid": os.getpid(),
        "reason": "start",
        "previous_segment": None,
        "previous_bytes": 0,
        "set_aside": [],
        "checkpoint": None,
    }
    assert (middle["seq"], middle["id"]) == (2, "a")
    assert (closing["seq"], closing["type"], closing["records"], closing["reason"]) == (
        3,
        "audit.segment_close",
        3,
        "shutdown",
    )
    assert_sound(tmp_path, ["a"])


async def test_many_callers_share_groups(tmp_path: Path) -> None:
    """200 concurrent callers are served by far fewer fdatasyncs than records, each record exactly once, in order."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    names = [f"e{number}" for number in range(200)]
    await asyncio.gather(*(ledger.record(event(name)) for name in names))
    await ledger.close()
    assert ids(tmp_path) == names
    assert files.log.count("fdatasync") < 20
    assert_sound(tmp_path, names)


async def test_records_of_turns_that_follow_one_another_share_a_group(tmp_path: Path) -> None:
    """Callers that come up one turn of the loop after another are one group: the device is asked once for all."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    before = files.log.count("fdatasync")
    tasks = []
    for number in range(20):
        tasks.append(asyncio.create_task(ledger.record(event(f"e{number}"))))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert files.log.count("fdatasync") - before == 1
    await ledger.close()
    assert_sound(tmp_path, [f"e{number}" for number in range(20)])


async def test_gathering_ends(tmp_path: Path) -> None:
    """A loop that never rests does not keep a caller waiting: 128 records are enough for a group."""
    ledger = writer(tmp_path)
    await ledger.open()
    first = asyncio.create_task(ledger.record(event("first")))
    others: list[asyncio.Task[None]] = []
    while not first.done():
        assert len(others) < 20_000
        others.append(asyncio.create_task(ledger.record(event(f"e{len(others)}"))))
        await asyncio.sleep(0)
    await asyncio.gather(first, *others)
    await ledger.close()
    assert_sound(tmp_path, ["first", *(f"e{number}" for number in range(len(others)))])


async def test_a_group_is_never_larger_than_a_crash_may_leave_in_doubt(tmp_path: Path) -> None:
    """However much waits: at most GROUP_BYTES go between two fdatasyncs."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    files.gate.clear()
    tasks = [asyncio.create_task(ledger.record(event(f"e{number}", pad="x" * 59_000))) for number in range(40)]
    await asyncio.sleep(0.05)
    files.gate.set()
    await asyncio.gather(*tasks)
    await ledger.close()
    assert GROUP_BYTES // 2 < max(files.written) <= GROUP_BYTES
    assert_sound(tmp_path, [f"e{number}" for number in range(40)])


async def test_nothing_is_acknowledged_before_fdatasync_returned(tmp_path: Path) -> None:
    """While the device is busy no caller gets an answer; after it is done, every caller does."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    files.gate.clear()
    tasks = [asyncio.create_task(ledger.record(event(f"e{number}"))) for number in range(5)]
    await asyncio.sleep(0.05)
    assert [task.done() for task in tasks] == [False] * 5
    assert ledger.pending == 5
    files.gate.set()
    await asyncio.gather(*tasks)
    assert ledger.pending == 0
    await ledger.close()


async def test_the_event_loop_never_waits_for_the_device(tmp_path: Path) -> None:
    """While fdatasync takes half a second, a ticker on the loop keeps ticking."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    files.sync_seconds = 0.5
    longest, ticks = 0.0, 0
    task = asyncio.create_task(ledger.record(event("a")))
    loop = asyncio.get_running_loop()
    while not task.done():
        before = loop.time()
        await asyncio.sleep(0.005)
        longest, ticks = max(longest, loop.time() - before), ticks + 1
    assert ticks > 10
    assert longest < 0.4
    files.sync_seconds = 0.0
    await ledger.close()


async def test_how_long_the_device_took_is_told_of_each_group(tmp_path: Path) -> None:
    """A device that takes 30 ms is told of with no less, once for each group and not for each record."""
    files, told = FaultyFiles(), list[float]()
    files.sync_seconds = 0.03
    ledger = LedgerWriter(tmp_path, STREAM, clock=SystemClock(), files=files, on_commit=told.append)
    await ledger.open()
    begun = files.log.count("fdatasync")

    await asyncio.gather(*(ledger.record(event(f"e{number}")) for number in range(50)))

    assert len(told) == files.log.count("fdatasync") - begun < 50
    assert all(0.03 <= seconds < 5 for seconds in told)
    await ledger.close()


async def test_a_batch_stands_in_order_with_nothing_between(tmp_path: Path) -> None:
    """record_all keeps its events together while others write."""
    ledger = writer(tmp_path)
    await ledger.open()
    batch = [event(f"b{number}") for number in range(50)]
    others = [ledger.record(event(f"o{number}")) for number in range(50)]
    await asyncio.gather(*others[:25], ledger.record_all(batch), *others[25:])
    await ledger.record_all([])
    await ledger.close()
    written = ids(tmp_path)
    start = written.index("b0")
    assert written[start : start + 50] == [each.id for each in batch]
    assert_sound(tmp_path, [f"o{number}" for number in range(50)])


async def test_a_bad_event_in_a_batch_leaves_no_trace(tmp_path: Path) -> None:
    """All or nothing before anything is chained; the ledger goes on."""
    ledger = writer(tmp_path)
    await ledger.open()
    with pytest.raises(InvalidEventError):
        await ledger.record_all([event("a"), Event("b", "memory.eaten", {})])
    await ledger.record(event("c"))
    await ledger.close()
    assert ids(tmp_path) == ["c"]
    assert_sound(tmp_path, ["c"])


async def test_a_cancelled_caller_does_not_break_its_group(tmp_path: Path) -> None:
    """Its neighbours are acknowledged; its own record is in the ledger."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    files.gate.clear()
    tasks = [asyncio.create_task(ledger.record(event(name))) for name in ("a", "b", "c")]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    await asyncio.sleep(0)
    files.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await ledger.close()
    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert ids(tmp_path) == ["a", "b", "c"]
    assert_sound(tmp_path, ["a", "c"])


@pytest.mark.parametrize(
    "limits", [WriterLimits(pending_records=3), WriterLimits(pending_bytes=500)], ids=["records", "bytes"]
)
async def test_a_full_queue_is_refused_and_drains(tmp_path: Path, limits: WriterLimits) -> None:
    """Over the bound: OverloadedError at once, nothing chained; afterwards all is well again."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=limits)
    await ledger.open()
    files.gate.clear()
    tasks = [asyncio.create_task(ledger.record(event(name))) for name in "abc"]
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError, match="3 audit records wait to be written"):
        await ledger.record(event("d"))
    files.gate.set()
    await asyncio.gather(*tasks)
    await ledger.record(event("e"))
    await ledger.close()
    assert ids(tmp_path) == ["a", "b", "c", "e"]


async def test_a_segment_is_rotated_by_size(tmp_path: Path) -> None:
    """Each ends with a segment_close, is sealed 0440, and the next one says that all of it counts."""
    ledger = writer(tmp_path, limits=WriterLimits(segment_bytes=2000))
    await ledger.open()
    names = [f"e{number}" for number in range(40)]
    await asyncio.gather(*(ledger.record(event(name)) for name in names[:20]))
    for name in names[20:]:
        await ledger.record(event(name))
    await ledger.close()
    segments = sorted((tmp_path / STREAM).glob("*.jsonl"))
    assert len(segments) > 4
    assert {stat.S_IMODE(segment.stat().st_mode) for segment in segments} == {0o440}
    openings = [record for record in records(tmp_path) if record["type"] == "audit.segment_open"]
    stated = [(opening["reason"], opening["previous_segment"], opening["previous_bytes"]) for opening in openings]
    expected = [("rotate", segment.name, segment.stat().st_size) for segment in segments[:-1]]
    assert stated == [("start", None, 0), *expected]
    assert_sound(tmp_path, names)


async def test_a_segment_is_rotated_by_age(tmp_path: Path) -> None:
    """The record that finds the segment too old is its last but one."""
    clock = StoppedClock()
    ledger = LedgerWriter(tmp_path, STREAM, clock=clock, limits=WriterLimits(segment_seconds=60))
    await ledger.open()
    await ledger.record(event("a"))
    clock.time += 61
    await ledger.record(event("b"))
    await ledger.record(event("c"))
    await ledger.close()
    kinds = [record["type"] for record in records(tmp_path)]
    event_type, opened, closed = "memory.accessed", "audit.segment_open", "audit.segment_close"
    assert kinds == [opened, event_type, event_type, closed, opened, event_type, closed]
    assert_sound(tmp_path, ["a", "b", "c"])


async def test_the_active_segment_is_for_its_owner_only(tmp_path: Path) -> None:
    """0600 for the file, 0700 for the directory."""
    ledger = writer(tmp_path / "new")
    await ledger.open()
    segment = tmp_path / "new" / STREAM / "000000000001.jsonl"
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600
    assert stat.S_IMODE(segment.parent.stat().st_mode) == 0o700
    await ledger.close()


async def test_names_are_durable_before_the_first_acknowledgement(tmp_path: Path) -> None:
    """File, then its directory, are synced while the segment is opened."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    assert files.log == ["sync_directory", "create", "write", "fdatasync", "sync_directory"]
    await ledger.close()


async def test_a_restart_goes_on_where_the_stream_ended(tmp_path: Path) -> None:
    """Numbers and hashes continue over three lives; each start says that the whole segment before counts."""
    for name in ("a", "b", "c"):
        ledger = writer(tmp_path)
        await ledger.open()
        await ledger.record(event(name))
        await ledger.close()
    openings = [record for record in records(tmp_path) if record["type"] == "audit.segment_open"]
    assert [opening["reason"] for opening in openings] == ["start"] * 3
    assert [record["seq"] for record in records(tmp_path)] == list(range(1, 10))
    assert_sound(tmp_path, ["a", "b", "c"])


async def test_a_second_writer_of_a_stream_is_refused(tmp_path: Path) -> None:
    """It is told who holds the stream and what to do; the first one goes on; another stream is free."""
    first, second = writer(tmp_path), writer(tmp_path)
    await first.open()
    with pytest.raises(
        AuditUnavailableError, match=rf"'main' is being written by another process \(pid {os.getpid()}\)"
    ):
        await second.open()
    await second.close()
    other = LedgerWriter(tmp_path, "other", clock=SystemClock())
    await other.open()
    await first.record(event("a"))
    await first.close()
    await other.close()
    third = writer(tmp_path)
    await third.open()
    await third.close()
    assert verify_audit_integrity(tmp_path) == (True, [])


async def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    """Not before open, not after close, and it is opened once only."""
    ledger = writer(tmp_path)
    with pytest.raises(AuditUnavailableError, match="it is not open"):
        await ledger.record(event("a"))
    await ledger.close()
    await ledger.open()
    await ledger.close()
    with pytest.raises(AuditUnavailableError, match="it is closed"):
        await ledger.record(event("b"))
    with pytest.raises(AuditUnavailableError, match="make a new one"):
        await ledger.open()
    await ledger.close()


async def test_what_waits_is_durable_when_close_returns(tmp_path: Path) -> None:
    """close comes after everything that was handed over before it."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    files.gate.clear()
    tasks = [asyncio.create_task(ledger.record(event(name))) for name in ("a", "b")]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(ledger.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    files.gate.set()
    await asyncio.gather(closing, *tasks)
    assert_sound(tmp_path, ["a", "b"])


@pytest.mark.parametrize("name", ["", "Main", "a/b", "..", "audit", "x" * 65])
def test_a_stream_name_that_cannot_be_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    """The message says which names can."""
    with pytest.raises(ConfigurationError, match="use a-z, 0-9"):
        LedgerWriter(tmp_path, name, clock=SystemClock())


async def test_a_device_that_does_not_answer_is_unhealthy(tmp_path: Path) -> None:
    """A group that takes too long shows in `healthy`; when it is through, all is well."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files, limits=WriterLimits(stall_seconds=0.2))
    await ledger.open()
    await asyncio.sleep(0.25)
    assert ledger.healthy
    files.gate.clear()
    task = asyncio.create_task(ledger.record(event("a")))
    await asyncio.sleep(0)
    assert ledger.healthy
    await asyncio.sleep(0.25)
    assert ledger.failure == "the device has not answered for 0 s"
    files.gate.set()
    await task
    assert ledger.healthy
    await ledger.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_cannot_write_and_does_not_hold_the_stream(tmp_path: Path) -> None:
    """In the child record() fails and close() returns; the parent goes on, and its lock dies with it alone."""
    ledger = writer(tmp_path)
    await ledger.open()
    ready, release = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        failed = ledger.failure == "this process was forked from its writer"
        os.write(ready[1], b"y" if failed else b"n")
        os.read(release[0], 1)
        os._exit(0)
    try:
        assert os.read(ready[0], 1) == b"y"
        await ledger.record(event("a"))
        await ledger.close()
        again = writer(tmp_path)
        await again.open()
        await again.close()
    finally:
        os.write(release[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *release):
            os.close(end)
    assert_sound(tmp_path, ["a"])


async def test_a_writer_that_was_closed_closes_nothing_in_a_forked_child(tmp_path: Path) -> None:
    """The numbers of its files are other files' by then."""
    ledger = writer(tmp_path)
    await ledger.open()
    await ledger.close()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(8)]
    child = os.fork()
    if child == 0:
        try:
            for fd in others:
                os.fstat(fd)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    for fd in others:
        os.close(fd)
    assert ledger.failure == "it is closed"


def test_a_loop_that_is_closed_under_the_writer_ends_its_thread(tmp_path: Path) -> None:
    """What was handed over is still made durable, and the stream is given free."""
    files = FaultyFiles()

    async def leave_in_a_hurry() -> None:
        ledger = writer(tmp_path, files=files)
        await ledger.open()
        files.gate.clear()
        ledger._put(ledger._ready(1), ledger._ready(1).append(event("a")))

    asyncio.run(leave_in_a_hurry())
    files.gate.set()

    async def come_back() -> None:
        for _ in range(200):
            ledger = writer(tmp_path)
            try:
                await ledger.open()
            except AuditUnavailableError:
                await asyncio.sleep(0.01)
            else:
                return await ledger.close()
        pytest.fail("the stream was never given free")

    asyncio.run(come_back())
    assert_sound(tmp_path, ["a"])


async def test_verification_of_a_running_ledger_finds_nothing(tmp_path: Path) -> None:
    """While callers write and segments rotate, verification stays clean."""
    ledger = writer(tmp_path, limits=WriterLimits(segment_bytes=20_000))
    await ledger.open()
    writing = asyncio.gather(*(ledger.record(event(f"e{number}")) for number in range(3000)))
    findings: list[Issue] = []
    while not writing.done():
        findings += (await asyncio.to_thread(verify, tmp_path)).issues
    await writing
    await ledger.close()
    assert findings == []
