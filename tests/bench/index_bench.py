"""How fast a page of events is found, while records keep coming and the index keeps up; what the index costs.

    python -m tests.bench.index_bench [--events N] [--rate N] [--rounds N] [DIRECTORY]

Fills a ledger, builds its index, then asks while another process records so many events a second and indexes them. For
each question, beside it, the same page read from the segments, once. Prints JSON, then sentences.
"""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from authz.audit import LedgerWriter
from authz.audit.filters import read_filter
from authz.audit.index import IndexWriter
from authz.audit.index.schema import index_path
from authz.audit.query import Page, search
from authz.audit.trail import Trail
from authz.core import Event

from .ledger_bench import BODY, SystemClock

STREAM: Final = "worker-0"
_ROUTES: Final = [f"/service{number}/{{id}}" for number in range(30)]
_REASONS: Final = ("scope_missing", "not_owner", "token_expired", "unmatched_route", "rate_limited")

QUESTIONS: Final[dict[str, dict[str, Any]]] = {
    "newest": {},
    "common: decision": {"decision": "deny"},
    "common: route": {"route": _ROUTES[3]},
    "common: role and scope": {"role": "user_basic", "scope": "memory:read"},
    "rare: reason, 20 in all": {"reason": "token_binding"},
    "rare: subject, about 20 in all": {"subject": "h1:3fa8c2d1:subject00017"},
    "rare: request id": {"request_id": "request-777"},
    "rare: parameter": {"params": {"id": "h1:3fa8c2d1:item0000777"}},
    "busy subject and rare reason": {"subject": "h1:3fa8c2d1:busy", "reason": "token_binding"},
    "busy subject and deny": {"subject": "h1:3fa8c2d1:busy", "decision": "deny"},
    "address, route, decision, method": {
        "ip": "10.0.3.7", "route": _ROUTES[3], "decision": "allow", "method": "GET",
    },
    "nothing: no such subject": {"subject": "h1:3fa8c2d1:nobody"},
    "two common ones that never meet": {"subject": "h1:3fa8c2d1:busy", "route": _ROUTES[29]},
}  # fmt: skip


def event(number: int, chance: random.Random) -> Event:
    """A decision as a gateway with 50,000 users makes them; every fifth is of one busy service."""
    busy = number % 5 == 0
    route = _ROUTES[chance.randrange(29)] if busy else _ROUTES[chance.randrange(30)]
    deny = chance.random() < 0.05
    rare = number % 50_000 == 7
    subject = "busy" if busy else f"subject{chance.randrange(50_000):05d}"
    body = msgspec.structs.replace(
        BODY,
        decision="deny" if deny or rare else "allow",
        reason="token_binding" if rare else chance.choice(_REASONS) if deny else "scope_granted",
        subject=f"h1:3fa8c2d1:{subject}",
        action=chance.choice(("GET", "GET", "GET", "POST", "DELETE")),
        roles=("service",) if busy else ("user_basic",),
        route=route,
        params={"id": f"h1:3fa8c2d1:item{number:07d}"},
        ip=f"10.0.{chance.randrange(40)}.{chance.randrange(250)}",
        session_id=f"h1:3fa8c2d1:session{chance.randrange(100_000):06d}",
        request_id=f"request-{number}",
    )
    return Event(f"01JDX{number:021d}", "auth.scope_denied" if deny or rare else "auth.scope_granted", body)


async def _fill(state: Path, count: int) -> None:
    chance = random.Random(1)
    ledger = LedgerWriter(state / "audit", STREAM, clock=SystemClock())
    await ledger.open()
    for first in range(0, count, 1000):
        await ledger.record_all([event(number, chance) for number in range(first, min(first + 1000, count))])
    await ledger.close()


async def _live(state: Path, rate: int) -> None:
    """Record so many events a second, in ten groups, and index them beside it, until killed."""
    chance = random.Random(2)
    ledger = LedgerWriter(state / "audit", STREAM, clock=SystemClock())
    await ledger.open()
    trail = Trail(state / "audit", [IndexWriter(state)], SystemClock())
    trail.start()
    number = 10_000_000
    while True:
        await ledger.record_all([event(number + each, chance) for each in range(max(1, rate // 10))])
        number += rate
        await asyncio.sleep(0.1)


def _timed(state: Path, asked: dict[str, Any], *, from_segments: bool = False) -> tuple[float, float, Page]:
    """Milliseconds that passed, those of CPU among them, and the page."""
    rest = {name: value for name, value in asked.items() if name != "params"}
    start, cpu = time.perf_counter(), time.thread_time()
    page = search(read_filter(rest, asked.get("params")), 50, path=state, from_segments=from_segments)
    return 1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - cpu), page


def _question(state: Path, asked: dict[str, Any], rounds: int) -> dict[str, Any]:
    found = [_timed(state, asked) for _ in range(rounds)]
    for _, _, page in found:
        assert (page.index.state, page.index.refused) == ("used", ()), page.index
    times, busy = sorted(each[0] for each in found), [each[1] for each in found]
    return {
        "median_ms": round(statistics.median(times), 2),
        "p95_ms": round(times[int(0.95 * len(times))], 2),
        "median_cpu_ms": round(statistics.median(busy), 2),
        "events": len(found[-1][2].events),
        "tail_records": round(statistics.mean(each[2].index.from_segments for each in found)),
        "from_segments_ms": round(_timed(state, asked, from_segments=True)[0]),
    }


def measure(state: Path, events: int, rate: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    uvloop.run(_fill(state, events))
    cpu, start = time.process_time(), time.perf_counter()
    Trail(state / "audit", [IndexWriter(state)], SystemClock()).catch_up()
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
    size = sum(each.stat().st_size for each in index_path(state).parent.iterdir())
    live = subprocess.Popen([sys.executable, "-m", __spec__.name, "--live", str(rate), str(state)])
    try:
        time.sleep(3)
        questions = {name: _question(state, asked, rounds) for name, asked in QUESTIONS.items()}
    finally:
        live.kill()
        live.wait()
    return {
        "events": events,
        "recorded_per_second_meanwhile": rate,
        "build": {
            "seconds": round(seconds, 1),
            "cpu_us_per_event": round(1e6 * cpu / events, 1),
            "bytes_per_event": round(size / events),
        },
        "pages_of_50": questions,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--live", type=int, help=argparse.SUPPRESS)
    parser.add_argument("directory", type=Path, nargs="?")
    given = parser.parse_args()
    if given.live is not None:
        uvloop.run(_live(given.directory, given.live))
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        figures = measure(Path(directory), given.events, given.rate, given.rounds)
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    for name, each in figures["pages_of_50"].items():
        print(
            f"{each['median_ms']:8.2f} ms (p95 {each['p95_ms']:7.2f}; segments {each['from_segments_ms']:6d})  {name}"
        )


if __name__ == "__main__":
    main()
