"""A process that appends to a ledger with many concurrent callers and says each id once it is acknowledged.

    appender.py DIRECTORY FIRST_NUMBER CALLERS SEGMENT_BYTES [EVENTS_PER_CALLER]

Without a number of events it goes on until it is killed. A record that the ledger refuses is not tried again: the
caller goes on with the next number. Acknowledgements are said by writev, so that every write is the ledger's own.
"""

import asyncio
import itertools
import os
import sys
import time
from pathlib import Path

from authz.audit import LedgerWriter, WriterLimits
from authz.core import AuditUnavailableError, Event


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


async def well_again(ledger: LedgerWriter) -> None:
    """Let it open the next segment, for half a second at most."""
    for _ in range(100):
        await asyncio.sleep(0.005)
        if ledger.healthy:
            return


async def main(directory: Path, first: int, callers: int, segment_bytes: int, each: int | None) -> None:
    """Every caller records one event after the other; ids are unique over all lives of the process."""
    ledger = LedgerWriter(directory, "main", clock=SystemClock(), limits=WriterLimits(segment_bytes=segment_bytes))
    await ledger.open()
    numbers = itertools.count(first)

    async def caller() -> None:
        for _ in itertools.count() if each is None else range(each):
            name = f"e{next(numbers)}"
            try:
                await ledger.record(Event(name, "memory.accessed", {"subject": "h1:k:s", "pad": "x" * 400}))
            except AuditUnavailableError:
                await well_again(ledger)
                continue
            os.writev(1, [f"{name}\n".encode()])

    await asyncio.gather(*(caller() for _ in range(callers)))
    await ledger.close()


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[2:]]
    asyncio.run(main(Path(sys.argv[1]), given[0], given[1], given[2], given[3] if len(given) > 3 else None))
