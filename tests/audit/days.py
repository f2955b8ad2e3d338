"""A ledger of some days, a segment each, for what comes with age: archive, hold, prune."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from authz.audit import LedgerWriter, WriterLimits
from authz.audit.offline import command_streams
from authz.audit.segment import segment_names

from .ledger import STREAM, StoppedClock, event
from .published import publish

DAY_SECONDS = 86_400.0
FIRST_DAY = 1_800_000_000.0 - 1_800_000_000.0 % DAY_SECONDS
EACH_DAY = 130
"""Events of a day: so that the tree has full and partial tiles, and segments end anywhere in them."""


def midnight(day: int) -> str:
    """The beginning of a day of the ledger, as records write time; the first one is 0."""
    return datetime.fromtimestamp(FIRST_DAY + day * DAY_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def live(state: Path, first: int, days: int, each: int = EACH_DAY, stream: str = STREAM) -> None:
    """The writer's life from the day `first` on; a segment is rotated by its age with the last event of its day."""
    asyncio.run(_live(state / "audit", first, days, each, stream))


async def _live(audit: Path, first: int, days: int, each: int, stream: str) -> None:
    clock = StoppedClock(FIRST_DAY + first * DAY_SECONDS)
    limits = WriterLimits(segment_seconds=DAY_SECONDS * (each - 1) / each)
    ledger = LedgerWriter(audit, stream, clock=clock, limits=limits)
    await ledger.open()
    for day in range(first, first + days):
        clock.time = max(clock.time, FIRST_DAY + day * DAY_SECONDS)
        await ledger.record_all([event(f"d{day}e{number}") for number in range(each - 1)])
        clock.time = FIRST_DAY + (day + (each - 1) / each) * DAY_SECONDS
        await ledger.record(event(f"d{day}e{each - 1}"))
    await ledger.close()


def sign(state: Path, stream: str = STREAM) -> int:
    """An auditor's round: tiles and checkpoint over all records of the stream, pruned ones too, and of the commands."""
    for directory in command_streams(state / "audit"):
        publish(state, directory.name)
    return publish(state, stream)


def names(state: Path, stream: str = STREAM) -> list[str]:
    """The stream's segments."""
    return segment_names(state / "audit" / stream)


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file under a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def records_before(state: Path, name: str) -> int:
    """How many records of the stream are before a segment."""
    assert name in names(state)
    return int(name[:12]) - 1
