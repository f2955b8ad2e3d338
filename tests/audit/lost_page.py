"""A ledger on a device that loses a page: to be run where DEVICE is a full-to-be disk under the file system DIRECTORY.

    lost_page.py DEVICE DIRECTORY

DIRECTORY is a file system in a sparse file on the small file system DEVICE. When DEVICE is full, the file system still
takes bytes into the page cache and cannot write them out: fdatasync fails once, and from then on ordinary reads show
what is nowhere. Says what happened as JSON.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from authz.audit import LedgerWriter, WriterLimits, get_audit_events, verify
from authz.audit.device import read_back
from authz.core import AuditUnavailableError, Event
from tests.audit.ledger import SystemClock

LIMITS = WriterLimits(retry_seconds=60, retry_most_seconds=60)


def fill(file: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(bytes([1]) * 65_536):
            pass


async def until_lost(ledger: LedgerWriter, told: list[str]) -> str:
    """Append one by one; the name of the first that is refused."""
    for number in range(len(told), len(told) + 2000):
        try:
            await ledger.record(Event(f"e{number}", "memory.accessed", {"subject": "h1:k:s", "pad": "x" * 1000}))
        except AuditUnavailableError:
            return f"e{number}"
        told.append(f"e{number}")
        if number == 50:
            await asyncio.to_thread(fill, Path(sys.argv[1]) / "filler")
    raise AssertionError("the device never failed")


async def main(device: Path, directory: Path) -> dict[str, Any]:
    told: list[str] = []
    ledger = LedgerWriter(directory / "audit", "main", clock=SystemClock(), limits=LIMITS)
    await ledger.open()
    lost = await until_lost(ledger, told)
    await ledger.close()
    (device / "filler").unlink()
    segment = max((directory / "audit" / "main").glob("*.jsonl"))
    needle = f'"id":"{lost}"'.encode()
    seen = {"in_cache": needle in segment.read_bytes(), "on_device": needle in read_back(segment).data}
    again = LedgerWriter(directory / "audit", "main", clock=SystemClock())
    await again.open()
    await again.close()
    kept = [event["id"] for event in get_audit_events(limit=10_000, path=directory, type="memory.accessed")][::-1]
    return {
        **seen,
        "adopted": lost in kept,
        # The loop driver may hide that the write before the failed one was cut short: that one is not held against us.
        "told_are_kept": kept in (told, told[:-1]),
        "past_cache": again.recovery is not None and again.recovery.past_cache,
        "issues": [issue.message for issue in verify(directory).issues],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))))
