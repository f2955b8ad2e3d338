"""A ledger on a disk that is really full: to be run where a small file system is mounted on DIRECTORY.

    small_disk.py DIRECTORY (room|end)

It appends until the disk is full, shows that everything is refused then, and goes on when there is room again
(`room`), or ends with the disk still full (`end`). Says what happened as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from authz.audit import LedgerWriter, WriterLimits, get_audit_events, verify
from authz.core import AuditUnavailableError, Event
from tests.audit.ledger import SystemClock

LIMITS = WriterLimits(segment_bytes=30_000, ballast_bytes=65_536, retry_seconds=0.01, retry_most_seconds=0.05)


async def refused(ledger: LedgerWriter, name: str) -> str:
    """Why the ledger did not take it; empty when it did."""
    try:
        await ledger.record(Event(name, "memory.accessed", {"subject": "h1:k:s", "pad": "x" * 1000}))
    except AuditUnavailableError as error:
        return str(error)
    return ""


async def fill(ledger: LedgerWriter, told: list[str]) -> str:
    """Append in groups until one is refused; why it was."""
    for number in range(0, 100_000, 4):
        names = [f"e{number + step}" for step in range(4)]
        answers = await asyncio.gather(*(refused(ledger, name) for name in names))
        told += [name for name, why in zip(names, answers, strict=True) if not why]
        if any(answers):
            return next(filter(None, answers))
    return "never full"


async def healthy(ledger: LedgerWriter) -> None:
    async with asyncio.timeout(10):
        while not ledger.healthy:
            await asyncio.sleep(0.005)


async def main(directory: Path, how: str) -> dict[str, Any]:
    filler = directory / "filler"
    filler.write_bytes(bytes(100_000))
    told: list[str] = []
    ledger = LedgerWriter(directory / "audit", "main", clock=SystemClock(), limits=LIMITS)
    await ledger.open()
    why = await fill(ledger, told)
    while_full = [bool(await refused(ledger, f"full{number}")) for number in range(50)]
    if how == "room":
        filler.unlink()
        await healthy(ledger)
    else:
        assert await ledger.make_way()
    last = await refused(ledger, "last")
    await ledger.close()
    events = get_audit_events(limit=1_000_000, path=directory)
    kept = [event["id"] for event in events if event["type"] == "memory.accessed"][::-1]
    return {
        "why": why,
        "refused_while_full": while_full.count(True),
        "last": last,
        "told_and_kept": [name for name in kept if name in {*told, "last"}] == [*told, "last"],
        "told": len(told),
        "closed_by": events[0]["type"],
        "issues": [issue.message for issue in verify(directory).issues],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))))
