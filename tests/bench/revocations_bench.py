"""Revocations alone: what a look-up costs and a million take, in processor time of this thread."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import thread_time_ns, time

from authz.identity import FOREVER, Marks, Revocation, Revocations, RevocationStore

HELD = int(os.environ.get("AUTHZ_BENCH_KEYS", "1000000"))
LOOKS = 1_000
ROUNDS = 30


class Clock:
    """Implements core.Clock."""

    now = staticmethod(time)
    elapsed = staticmethod(time)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "revocations"
        marks = Marks("https://idp.test", "ann", "t-1", "s-1", 5)
        none = asyncio.run(Revocations.open(place, Clock()))
        without = _best_ns(lambda: none.holds(marks))
        asyncio.run(none.close())
        _fill(place)
        before, started = _resident_bytes(), time()
        held = asyncio.run(Revocations.open(place, Clock()))
        found = {
            "held": len(held),
            "load_seconds": round(time() - started, 1),
            "bytes_each": round((_resident_bytes() - before) / HELD),
            "disk_bytes_each": round((place / "revocations.db").stat().st_size / HELD),
            "look_ns": round(_best_ns(lambda: held.holds(marks))),
            "look_without_any_ns": round(without),
        }
        print(f"revocations: {found}")
        asyncio.run(held.close())


def _fill(place: Path) -> None:
    store = RevocationStore(place)
    rows = (
        Revocation(f"{n:036}", secrets.token_bytes(16), "jti", "", None, FOREVER, None, 0, "bench", "bench")
        for n in range(HELD)
    )
    with store._transaction():
        store._connection.executemany("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    store.close()


def _best_ns(look: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = thread_time_ns()
        for _ in range(LOOKS):
            look()
        rounds.append((thread_time_ns() - started) / LOOKS)
    return min(rounds)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - not a file on a disk
        return int(file.read().split()[1]) * 4096


if __name__ == "__main__":
    main()
