"""The trail: every durable record reaches every consumer once, in order, whatever happens to them or to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from authz.audit import LedgerWriter, WriterLimits
from authz.audit.durable import MARK_NAME, Mark, mark_text, read_mark
from authz.audit.frames import compressed
from authz.audit.status import ConsumerStatus
from authz.audit.trail import Batch, Place, Trail
from authz.audit.trail import reading as trail_reading
from authz.audit.trail.trail import AGAIN_SECONDS

from .auditing import Node
from .ledger import STREAM, StoppedClock, SystemClock, event, lines


class Notebook:
    """A consumer that keeps what it gets, and its places, over any number of lives."""

    def __init__(self, name: str = "notebook", begins: Literal["beginning", "end"] = "beginning") -> None:
        self.name = name
        self.begins: Literal["beginning", "end"] = begins
        self.batches: list[Batch] = []
        self.places: dict[str, Place] = {}
        self.segments: dict[str, Sequence[str]] = {}
        self.error: Exception | None = None
        self.open_calls = self.close_calls = 0

    def open(self) -> Mapping[str, Place]:
        self.open_calls += 1
        return self.places

    def take(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        self.places[batch.stream] = batch.after

    def kept(self, stream: str, segments: Sequence[str]) -> None:
        self.segments[stream] = segments

    def close(self) -> None:
        self.close_calls += 1

    def lines(self, stream: str = STREAM) -> list[bytes]:
        """What it got of a stream."""
        return [record.line for batch in self.batches if batch.stream == stream for record in batch.records]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few records at a time."""
    monkeypatch.setattr(trail_reading, "BATCH_BYTES", 1000)


async def write(audit: Path, count: int, stream: str = STREAM, segment_bytes: int = 4000) -> None:
    """One life of a writer."""
    ledger = LedgerWriter(audit, stream, clock=SystemClock(), limits=WriterLimits(segment_bytes=segment_bytes))
    await ledger.open()
    for number in range(count):
        await ledger.record(event(f"{stream}-{number}"))
    await ledger.close()


def follow(audit: Path, *consumers: Notebook, clock: StoppedClock | None = None) -> Trail:
    """Hand over all that is there."""
    trail = Trail(audit, consumers, clock or StoppedClock())
    trail.catch_up()
    return trail


async def test_every_record_is_handed_over_once_with_its_place(tmp_path: Path) -> None:
    """Of every stream, over all segments, as it stands in them; a later run goes on where the one before ended."""
    notebook = Notebook()
    for _ in range(2):
        for stream in (STREAM, "other"):
            await write(tmp_path, 40, stream)
        follow(tmp_path, notebook)
    other = [line for path in sorted((tmp_path / "other").glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    assert (notebook.lines(), notebook.lines("other")) == (lines(tmp_path), other)
    for batch in notebook.batches:
        data = (tmp_path / batch.stream / batch.segment).read_bytes()
        for record in batch.records:
            assert data[record.offset :].startswith(record.line + b"\n")
            assert (record.fields["seq"], batch.segment <= batch.after.segment) == (record.seq, True)
    assert notebook.places[STREAM].seq == len(lines(tmp_path))


async def test_compressed_segments_are_read_as_if_they_were_raw(tmp_path: Path) -> None:
    """Offsets are those of the raw file."""
    await write(tmp_path, 60)
    raw, packed = Notebook(), Notebook()
    follow(tmp_path, raw)
    for path in sorted((tmp_path / STREAM).glob("*.jsonl"))[:-1]:
        path.with_name(path.name + ".zst").write_bytes(b"".join(compressed([path.read_bytes()])))
        path.unlink()
    follow(tmp_path, packed)
    assert packed.batches == raw.batches


async def test_what_is_not_durable_is_not_handed_over(tmp_path: Path) -> None:
    """Neither what stands past the mark, nor what the next segment says does not count; a later mark brings it."""
    await write(tmp_path, 5)
    mark = read_mark(tmp_path / STREAM)
    assert mark is not None
    data = lines(tmp_path)
    [segment] = (tmp_path / STREAM).glob("*.jsonl")
    size = sum(len(line) + 1 for line in data[:3])
    (tmp_path / STREAM / MARK_NAME).write_bytes(mark_text(Mark(1, size, 3)))
    notebook = Notebook()
    trail = follow(tmp_path, notebook)
    assert notebook.lines() == data[:3]
    assert trail.status() == (ConsumerStatus("notebook"),)
    (tmp_path / STREAM / MARK_NAME).write_bytes(mark_text(mark))
    segment.chmod(0o600)
    with segment.open("ab") as file:
        file.write(b'{"prev":"torn')
    await write(tmp_path, 1)
    follow(tmp_path, notebook)
    assert notebook.lines() == lines(tmp_path)


async def test_a_consumer_that_fails_holds_up_nobody_and_misses_nothing(tmp_path: Path) -> None:
    """It is reported, closed, and after a while opened again, to go on from its own place."""
    clock, well, ill = StoppedClock(), Notebook("well"), Notebook("ill")
    await write(tmp_path, 30)
    trail = Trail(tmp_path, [ill, well], clock)
    ill.error = OSError("no room")
    for _ in range(40):
        trail._round()
    total = len(lines(tmp_path))
    assert (len(well.lines()), ill.lines(), ill.close_calls) == (total, [], 1)
    assert trail.status() == (
        ConsumerStatus("ill", lag_records=total, failure="OSError: no room", failures=1),
        ConsumerStatus("well"),
    )
    ill.error = None
    clock.time += AGAIN_SECONDS
    for _ in range(40):
        trail._round()
    assert (ill.lines(), well.lines()) == (lines(tmp_path), lines(tmp_path))
    assert trail.status() == (ConsumerStatus("ill", failures=1), ConsumerStatus("well"))


async def test_consumers_that_meet_go_on_together(tmp_path: Path) -> None:
    """Who is behind stops where the other one stands; from there each record is read once for both."""
    ahead, behind = Notebook("ahead"), Notebook("behind")
    await write(tmp_path, 33)
    follow(tmp_path, ahead)
    follow(tmp_path, behind)
    behind.batches, behind.places = behind.batches[:2], {STREAM: behind.batches[1].after}
    follow(tmp_path, ahead, behind)
    before = len(lines(tmp_path))
    await write(tmp_path, 33)
    follow(tmp_path, ahead, behind)
    assert ahead.lines() == behind.lines() == lines(tmp_path)
    shared = {id(batch) for batch in ahead.batches} & {id(batch) for batch in behind.batches}
    assert sum(len(batch.records) for batch in ahead.batches if id(batch) in shared) == len(lines(tmp_path)) - before


async def test_one_that_begins_at_the_end_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    """Also of streams that appear later."""
    await write(tmp_path, 20)
    before = lines(tmp_path)
    notebook = Notebook(begins="end")
    trail = Trail(tmp_path, [notebook], StoppedClock())
    trail._round()
    await write(tmp_path, 20)
    await write(tmp_path, 3, "later")
    for _ in range(40):
        trail._round()
    assert notebook.lines() == lines(tmp_path)[len(before) :]
    assert len(notebook.lines("later")) == 5


async def test_pruned_segments_are_told_of_and_read_no_more(tmp_path: Path) -> None:
    """A consumer that comes later begins with the first record that is kept."""
    early, late = Notebook("early"), Notebook("late")
    await write(tmp_path, 60)
    follow(tmp_path, early)
    names = sorted(path.name for path in (tmp_path / STREAM).glob("*.jsonl"))
    gone = len((tmp_path / STREAM / names[0]).read_bytes().splitlines())
    (tmp_path / STREAM / names[0]).unlink()
    await write(tmp_path, 1)
    trail = follow(tmp_path, early, late)
    assert early.segments[STREAM][0] == late.segments[STREAM][0] == names[1]
    assert late.lines() == early.lines()[gone:]
    assert [each.trouble for each in trail.status()] == [None, None]


def test_reading_goes_on_behind_damage_and_says_so(tmp_path: Path) -> None:
    """A line that is no record is not handed over; the others are."""
    node = Node(tmp_path)
    node.write(10)
    before = lines(node.audit)
    [segment] = node.segments()
    data = segment.read_bytes()
    segment.write_bytes(data.replace(before[4], b"x" * len(before[4])))
    notebook = Notebook()
    [status] = follow(node.audit, notebook).status()
    node.stop()
    assert notebook.lines() == [*before[:4], *before[5:]]
    assert status.trouble == f"{STREAM}/{segment.name}: record 6 does not follow the one before it"


async def test_it_runs_in_a_thread_of_its_own_until_it_is_stopped(tmp_path: Path) -> None:
    """What becomes durable while it runs arrives, without anybody calling."""
    notebook = Notebook()
    trail = Trail(tmp_path, [notebook], SystemClock())
    trail.start()
    await write(tmp_path, 25)
    deadline = SystemClock.elapsed() + 20
    while len(notebook.lines()) < 27 and SystemClock.elapsed() < deadline:
        trail._stopped.wait(0.02)
    trail.stop()
    assert (notebook.lines(), notebook.close_calls) == (lines(tmp_path), 1)
