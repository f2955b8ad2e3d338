"""Steps of the clock: the ledger says when somebody set it."""

import asyncio
import errno
from pathlib import Path
from typing import Any

from authz.audit import LedgerWriter, WriterLimits
from authz.audit.clock_watch import ClockStep, ClockWatch

from .ledger import STREAM, FaultyFiles, assert_sound, event, records

START = 1_800_000_000.0


class SetClock:
    """A clock that can be set: both times run together, only the wall clock jumps."""

    def __init__(self) -> None:
        self.wall = START
        self.monotonic = 50.0

    def now(self) -> float:
        return self.wall

    def elapsed(self) -> float:
        return self.monotonic

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


async def stepped(directory: Path, clock: SetClock, files: FaultyFiles | None = None) -> LedgerWriter:
    """An open ledger that looks at its clock every 5 ms."""
    limits = WriterLimits(clock_seconds=0.005, retry_seconds=0.01)
    ledger = LedgerWriter(directory, STREAM, clock=clock, files=files, limits=limits)
    await ledger.open()
    await asyncio.sleep(0.02)
    return ledger


def steps(directory: Path) -> list[dict[str, Any]]:
    """The clock steps in the ledger, without what every record has."""
    found = [record for record in records(directory) if record["type"] == "audit.clock_step"]
    return [{name: record[name] for name in ("step_seconds", "expected", "observed")} for record in found]


async def until_recorded(directory: Path, number: int) -> None:
    async with asyncio.timeout(30):
        while len(steps(directory)) < number:
            await asyncio.sleep(0.005)


async def test_a_clock_that_is_set_back_is_recorded_and_time_still_goes_on(tmp_path: Path) -> None:
    """By how much, what the clock should have said and what it said; each step once."""
    clock = SetClock()
    ledger = await stepped(tmp_path, clock)
    clock.run(10)
    clock.wall -= 3600
    await until_recorded(tmp_path, 1)
    clock.wall += 5
    await until_recorded(tmp_path, 2)
    await asyncio.sleep(0.05)
    await ledger.close()
    assert steps(tmp_path) == [
        {
            "step_seconds": -3600.0,
            "expected": "2027-01-15T08:00:10.000000Z",
            "observed": "2027-01-15T07:00:10.000000Z",
        },
        {"step_seconds": 5.0, "expected": "2027-01-15T07:00:10.000000Z", "observed": "2027-01-15T07:00:15.000000Z"},
    ]
    assert_sound(tmp_path, [])


async def test_a_step_that_cannot_be_recorded_is_recorded_later(tmp_path: Path) -> None:
    """When the disk takes records again."""
    clock, files = SetClock(), FaultyFiles()
    ledger = await stepped(tmp_path, clock, files)
    files.fail("write", *[errno.ENOSPC] * 6)
    clock.wall += 60
    await until_recorded(tmp_path, 1)
    await ledger.record(event("after"))
    await ledger.close()
    assert [found["step_seconds"] for found in steps(tmp_path)] == [60.0]
    assert_sound(tmp_path, ["after"])


def test_a_clock_that_only_runs_has_no_steps() -> None:
    """For however long, and with what a leap second makes of it."""
    clock = SetClock()
    watch = ClockWatch(clock)
    for _ in range(100):
        clock.run(86_400)
        assert watch.step() is None
    clock.wall -= 1
    assert watch.step() is None


def test_small_steps_add_up() -> None:
    """Whoever leads the clock away by half a second at a time is seen at the third."""
    clock = SetClock()
    watch = ClockWatch(clock)
    found = []
    for _ in range(3):
        clock.wall += 0.5
        found.append(watch.step())
    assert found == [
        None,
        None,
        ClockStep(1.5, "2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:01.500000Z"),
    ]
