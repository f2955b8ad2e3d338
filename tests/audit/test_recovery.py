"""What a start makes of whatever a crash left."""

import asyncio
import errno
import shutil
from collections.abc import Awaitable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from authz.audit import Files, LedgerWriter, Recovery, WriterLimits, device, verify, verify_audit_integrity
from authz.core import AuditUnavailableError

from .ledger import STREAM, FaultyFiles, assert_sound, event, ids, lines, records, writer


async def life(
    directory: Path, *names: str, limits: WriterLimits | None = None, files: Files | None = None
) -> Recovery:
    """One orderly life of a writer; returns what its start found."""
    ledger = writer(directory, limits=limits, files=files)
    await ledger.open()
    for name in names:
        await ledger.record(event(name))
    await ledger.close()
    assert ledger.recovery is not None
    return ledger.recovery


def last_segment(directory: Path) -> Path:
    return max((directory / STREAM).glob("*.jsonl"))


def rewrite(path: Path, data: bytes) -> None:
    """As a crash would have left the file."""
    path.chmod(0o600)
    path.write_bytes(data)


def without_close(directory: Path) -> bytes:
    """The last segment's bytes before its segment_close."""
    data = last_segment(directory).read_bytes()
    return data[: data.rindex(b'{"prev"')]


async def test_a_torn_last_line_is_left_on_disk_and_does_not_count(tmp_path: Path) -> None:
    """The next segment names the bytes before it; the torn bytes stay as they are."""
    await life(tmp_path, "a", "b")
    segment, whole = last_segment(tmp_path), without_close(tmp_path)
    rewrite(segment, whole + b'{"prev":"12')
    found = await life(tmp_path, "c")
    assert (found.tail.counted_bytes, found.ignored_bytes, found.damage) == (len(whole), 11, ())
    assert segment.read_bytes() == whole + b'{"prev":"12'
    assert [record["reason"] for record in records(tmp_path) if record["type"] == "audit.segment_open"] == [
        "start",
        "recover",
    ]
    assert_sound(tmp_path, ["a", "b", "c"])


async def test_complete_lines_that_nobody_was_told_of_are_adopted(tmp_path: Path) -> None:
    """The ledger may hold more than was acknowledged, never less."""
    files = FaultyFiles()
    ledger = writer(tmp_path / "before", files=files)
    await ledger.open()
    await ledger.record(event("told"))
    files.gate.clear()
    task = asyncio.create_task(ledger.record(event("untold")))
    await asyncio.sleep(0.02)
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    await life(tmp_path / "after")
    assert ids(tmp_path / "after") == ["told", "untold"]
    assert_sound(tmp_path / "after", ["told", "untold"])
    files.gate.set()
    await task
    await ledger.close()


@pytest.mark.parametrize("left", [b"", b"{", b'{"prev":"0000', b"\0" * 300, b"\0" * 20 + b'"}\n'])
async def test_a_segment_in_which_nothing_counts_is_set_aside(tmp_path: Path, left: bytes) -> None:
    """Empty, torn in its first line, or never written out: renamed, and its name taken again."""
    await life(tmp_path, "a")
    next_name = f"{len(records(tmp_path)) + 1:012d}"
    (tmp_path / STREAM / f"{next_name}.jsonl").write_bytes(left)
    found = await life(tmp_path, "b")
    assert found.set_aside == (f"{next_name}.void",)
    assert (tmp_path / STREAM / f"{next_name}.void").read_bytes() == left
    assert_sound(tmp_path, ["a", "b"])


async def test_several_crashes_in_a_row_while_opening(tmp_path: Path) -> None:
    """Each leaves a torn segment of the same name; all of them stay on disk."""
    directory = tmp_path / STREAM
    directory.mkdir()
    for number in range(3):
        (directory / "000000000001.jsonl").write_bytes(b"{" * number)
        if number < 2:
            (directory / "000000000001.jsonl").rename(directory / f"00000000000{number + 1}.jsonl")
    found = await life(tmp_path, "a")
    assert found.set_aside == ("000000000001.void", "000000000002.void")
    assert_sound(tmp_path, ["a"])


async def test_a_hole_among_the_last_writes_is_what_power_loss_leaves(tmp_path: Path) -> None:
    """NUL bytes where blocks were never written out: everything from that line on does not count."""
    await life(tmp_path, "a", "b", "c")
    whole = without_close(tmp_path)
    at = whole.index(b'"id":"b"')
    rewrite(last_segment(tmp_path), whole[:at] + b"\0" * 50 + whole[at + 50 :])
    found = await life(tmp_path, "d")
    assert found.damage == ()
    assert ids(tmp_path) == ["a", "d"]
    assert verify(tmp_path).issues == ()


async def test_lines_that_only_the_page_cache_shows_are_not_adopted(tmp_path: Path) -> None:
    """fdatasync failed, then the process died: an ordinary read shows what the device never got."""
    files = FaultyFiles()
    ledger = writer(tmp_path, files=files)
    await ledger.open()
    await ledger.record(event("told"))
    files.fail("fdatasync", errno.EIO)
    files.fail("create", errno.EIO)
    with pytest.raises(AuditUnavailableError):
        await ledger.record(event("lost"))
    await ledger.close()
    files.forgive()
    assert b'"id":"lost"' in last_segment(tmp_path).read_bytes()
    found = await life(tmp_path, "after", files=files)
    assert (found.past_cache, found.damage) == (True, ())
    assert ids(tmp_path) == ["told", "after"]
    assert_sound(tmp_path, ["told", "after"])


async def test_a_file_system_without_direct_reads_is_read_all_the_same_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start does not fail for it; the recovery says that it saw the cache only."""
    await life(tmp_path, "a")

    def refuses(path: Path, start: int) -> bytes:
        raise OSError(errno.EINVAL, "no O_DIRECT here")

    monkeypatch.setattr(device, "_read_direct", refuses)
    found = await life(tmp_path, "b")
    assert (found.past_cache, found.tail.closed) == (False, True)
    assert_sound(tmp_path, ["a", "b"])


async def test_a_device_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    """An error of the read is an error of the start: nothing is set aside, nothing begun."""
    await life(tmp_path, "a")
    files = FaultyFiles()
    files.fail("read_back", errno.EIO)
    ledger = writer(tmp_path, files=files)
    with pytest.raises(AuditUnavailableError, match="EIO"):
        await ledger.open()
    assert sorted(path.name for path in (tmp_path / STREAM).iterdir()) == ["000000000001.jsonl", "durable", "lock"]


async def test_damage_is_no_crash(tmp_path: Path) -> None:
    """A changed line among whole ones cuts nothing off: the stream goes on, recovery and verification name the line."""
    await life(tmp_path, "a", "b", "c")
    data = last_segment(tmp_path).read_bytes()
    rewrite(last_segment(tmp_path), data.replace(b'"id":"b"', b'"id":"B"'))
    found = await life(tmp_path, "d")
    assert found.damage == ("000000000001.jsonl, line 3: not the line that the next one was chained to",)
    assert ids(tmp_path) == ["a", "B", "c", "d"]
    intact, issues = verify_audit_integrity(tmp_path)
    assert not intact
    assert [(issue.kind, issue.segment, issue.line) for issue in issues] == [("chain_broken", "000000000001.jsonl", 3)]


async def test_a_hole_before_a_segment_close_is_what_power_loss_leaves_too(tmp_path: Path) -> None:
    """The last group held the segment_close, and only its end was written out."""
    await life(tmp_path, "a", "b")
    segment = last_segment(tmp_path)
    data = segment.read_bytes()
    at = data.index(b'"id":"b"')
    rewrite(segment, data[:at] + b"\0" * 50 + data[at + 50 :])
    found = await life(tmp_path, "c")
    assert (found.damage, found.ignored_bytes > 0) == ((), True)
    assert ids(tmp_path) == ["a", "c"]
    assert verify(tmp_path).issues == ()


async def test_a_hole_far_from_the_end_is_damage(tmp_path: Path) -> None:
    """More than one group was durable after it: power loss cannot have left it."""
    ledger = writer(tmp_path)
    await ledger.open()
    await ledger.record(event("a"))
    for _ in range(2):
        await ledger.record_all([event("x", pad="x" * 50_000) for _ in range(12)])
    await ledger.close()
    data = last_segment(tmp_path).read_bytes()
    rewrite(last_segment(tmp_path), data.replace(b'"id":"a"', b'"id":"\0"'))
    found = await life(tmp_path, "c")
    assert (len(found.damage), found.ignored_bytes) == (1, 0)
    assert {issue.kind for issue in verify(tmp_path).issues} == {"chain_broken", "record_unreadable"}


async def test_a_last_record_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """The stream goes on with the next number; verification names the record."""
    await life(tmp_path, "a", "b")
    whole = without_close(tmp_path)
    rewrite(last_segment(tmp_path), whole[:-2] + b"]\n")
    await life(tmp_path, "c")
    assert [issue.kind for issue in verify(tmp_path).issues] == ["record_unreadable"]
    assert [b'"seq":4,' in line for line in lines(tmp_path)].count(True) == 1


async def test_a_stream_that_cannot_be_read_is_not_opened(tmp_path: Path) -> None:
    """Recovery does not guess: it fails with the reason."""
    (tmp_path / STREAM / "000000000001.jsonl").mkdir(parents=True)
    ledger = writer(tmp_path)
    with pytest.raises(AuditUnavailableError, match=r"The ledger cannot be opened: "):
        await ledger.open()
    await ledger.close()


PART = st.floats(0, 1)


class Lives(RuleBasedStateMachine):
    """A ledger lives through appends, rotations, restarts, disk failures and crashes with any tail left behind.

    After each of them: every acknowledged event is there once, and verification is clean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.scratch = TemporaryDirectory()
        self.crashes = 0
        self.events = 0
        self.acknowledged: list[str] = []
        self.running = False

    def run(self, work: Awaitable[None]) -> None:
        return self.loop.run_until_complete(work)

    @property
    def directory(self) -> Path:
        return Path(self.scratch.name) / str(self.crashes)

    @initialize()
    def open(self) -> None:
        self.open_on(FaultyFiles())

    def open_on(self, files: FaultyFiles) -> None:
        self.files = files
        limits = WriterLimits(segment_bytes=2500, retry_seconds=0.0005)
        self.ledger: LedgerWriter = writer(self.directory, files=self.files, limits=limits)
        self.run(self.ledger.open())
        self.running = True

    def names(self, count: int) -> list[str]:
        self.events += count
        return [f"e{number}" for number in range(self.events - count, self.events)]

    async def record(self, name: str) -> None:
        try:
            await self.ledger.record(event(name))
        except AuditUnavailableError:
            return
        self.acknowledged.append(name)

    async def record_each(self, names: list[str]) -> None:
        await asyncio.gather(*(self.record(name) for name in names))

    @rule(count=st.integers(1, 12))
    def append(self, count: int) -> None:
        self.run(self.record_each(self.names(count)))

    @rule()
    def restart(self) -> None:
        self.run(self.ledger.close())
        self.open()

    @rule(
        operation=st.sampled_from(["create", "write", "fdatasync", "sync_directory"]),
        works_first=st.integers(0, 3),
        most_bytes=st.none() | st.integers(1, 600),
        count=st.integers(1, 12),
    )
    def fail(self, operation: str, works_first: int, most_bytes: int | None, count: int) -> None:
        self.files.most_bytes = most_bytes
        self.files.fail(operation, *[None] * works_first, 5)
        self.run(self.record_each(self.names(count)))
        self.run(self.record_each(self.names(1)))
        self.files.forgive()
        self.run(self.healed())

    @rule(count=st.integers(1, 12))
    def lose_and_die(self, count: int) -> None:
        """The device lost a group and the process died before it could begin anew: only the cache shows the group."""
        names = self.names(count)
        self.files.fail("fdatasync", 5)
        self.files.fail("create", *[5] * 1000)
        self.run(self.record_each(names))
        self.run(self.ledger.close())
        self.files.forgive()
        self.open_on(self.files)
        assert set(names) - set(self.acknowledged) == set(names) - set(ids(self.directory))

    async def healed(self) -> None:
        async with asyncio.timeout(30):
            while not self.ledger.healthy:
                await asyncio.sleep(0.0005)

    @rule(count=st.integers(0, 12), kept=PART, hole=st.none() | st.tuples(PART, PART))
    def crash(self, count: int, kept: float, hole: tuple[float, float] | None) -> None:
        """Killed while a group is in the device: any part of its bytes is left, with any hole in it."""
        durable = {path.name: path.stat().st_size for path in (self.directory / STREAM).glob("*.jsonl")}
        self.files.gate.clear()
        work = self.loop.create_task(self.record_each(self.names(count)))
        self.run(asyncio.sleep(0.005))
        dead, alive = self.directory, Path(self.scratch.name) / str(self.crashes + 1)
        shutil.copytree(dead, alive)
        acknowledged = list(self.acknowledged)
        self.files.gate.set()
        self.run(work)
        self.run(self.ledger.close())
        self.crashes, self.acknowledged = self.crashes + 1, acknowledged
        for path in (alive / STREAM).glob("*.jsonl"):
            mutilate(path, durable.get(path.name, 0), kept, hole)
        self.open()

    @invariant()
    def sound(self) -> None:
        if self.running:
            assert_sound(self.directory, self.acknowledged)

    def teardown(self) -> None:
        if self.running:
            self.run(self.ledger.close())
        self.loop.close()
        self.scratch.cleanup()


def mutilate(path: Path, durable_bytes: int, kept: float, hole: tuple[float, float] | None) -> None:
    """What the device may have kept of the bytes that were never synced."""
    whole = path.read_bytes()
    left = bytearray(whole[: durable_bytes + round(kept * (len(whole) - durable_bytes))])
    if hole is not None:
        start, end = (durable_bytes + round(part * (len(left) - durable_bytes)) for part in sorted(hole))
        left[start:end] = bytes(end - start)
    rewrite(path, bytes(left))


Lives.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestLives = Lives.TestCase
