"""How fast events become durable, with a bare disk and a bare hash measured beside it in the same run.

    python -m tests.bench.ledger_bench [--events N] [--verify-records N] [DIRECTORY]

Prints one JSON line, then sentences. Numbers of one machine mean little; the ratios are what to compare.
AUTHZ_BENCH_RECORDS=1000000 verifies as many records as the project's promise is about.
"""

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from authz.audit import LedgerWriter, get_audit_events
from authz.audit.record import Chain
from authz.core import DecisionBody, Event

from .verification import measure_verification, sign

CALLERS = (1, 8, 64, 256)
STREAM = "long"


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


BODY = DecisionBody(
    decision="allow",
    reason="scope_granted",
    operation="memory.accessed",
    subject="h1:3fa8c2d1:0123456789abcdefghijkl",
    subject_type="user",
    subject_source="token",
    issuer="https://id.example/realms/main",
    roles=("user_basic",),
    scope_mode="restrict",
    scopes=("memory:read",),
    granted_by={"memory:read": ("user_basic",)},
    action="GET",
    route="/memory/{id}",
    params={"id": "h1:3fa8c2d1:abcdefghijklmnopqrstuv"},
    host="api.example",
    revision="3b0c4f2a9d7e1b58",
    engine="embedded",
    dialect="envoy",
    caller="edge",
    ip="203.0.113.7",
    user_agent="Mozilla/5.0 (X11; Linux x86_64)",
    request_id="0190b0c4-6c3e-7cc1-9d3f-000000000000",
)


def _event(number: int) -> Event:
    return Event(f"01JDX{number:021d}", "auth.scope_granted", BODY)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def _through_the_writer(directory: Path, callers: int, events: int) -> dict[str, float]:
    ledger = LedgerWriter(directory, f"callers-{callers}", clock=SystemClock())
    await ledger.open()
    seconds: list[float] = []

    async def caller(first: int, count: int) -> None:
        for number in range(first, first + count):
            start = time.perf_counter()
            await ledger.record(_event(number))
            seconds.append(time.perf_counter() - start)

    each = max(1, events // callers)
    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller(k * each, each) for k in range(callers)))
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    await ledger.close()
    return {
        "events_per_second": len(seconds) / elapsed,
        "p50_ms": 1000 * statistics.median(seconds),
        "p99_ms": 1000 * _percentile(seconds, 0.99),
        "cpu_us_per_event": 1e6 * cpu / len(seconds),
    }


def _bare_disk(directory: Path, group: int, line: bytes, groups: int) -> float:
    """Events a second of a loop that does nothing but write a group and fdatasync it."""
    data = (line + b"\n") * group
    fd = os.open(directory / f"bare-{group}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    start = time.perf_counter()
    for _ in range(groups):
        os.write(fd, data)
        os.fdatasync(fd)
    elapsed = time.perf_counter() - start
    os.close(fd)
    return groups * group / elapsed


def _bare_hash(line: bytes, rounds: int) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        hashlib.sha256(line).hexdigest()
    return rounds / (time.perf_counter() - start)


def _encode_and_chain(rounds: int) -> float:
    chain = Chain(SystemClock())
    events = [_event(number) for number in range(1000)]
    start = time.perf_counter()
    for number in range(rounds):
        chain.append(events[number % 1000])
    return 1e6 * (time.perf_counter() - start) / rounds


async def _fill(directory: Path, count: int) -> None:
    ledger = LedgerWriter(directory, STREAM, clock=SystemClock())
    await ledger.open()
    for first in range(0, count, 1000):
        await ledger.record_all([_event(number) for number in range(first, min(first + 1000, count))])
    await ledger.close()


def _timed(work: Any, *arguments: Any, **named: Any) -> float:
    start = time.perf_counter()
    work(*arguments, **named)
    return time.perf_counter() - start


def _verification(directory: Path, count: int) -> dict[str, float]:
    uvloop.run(_fill(directory, count))
    sign(directory, STREAM)
    found = measure_verification(directory, STREAM)
    found["search_without_a_hit_s"] = _timed(get_audit_events, 10, path=directory, subject="h1:3fa8c2d1:nobody")
    return found


def measure(directory: Path, events: int, verify_records: int) -> dict[str, Any]:
    """All figures of one run."""
    line = Chain(SystemClock()).append(_event(0))
    found: dict[str, Any] = {"record_bytes": len(line), "encode_and_chain_us": _encode_and_chain(50_000)}
    found["bare_sha256_per_second"] = _bare_hash(line, 200_000)
    for callers in CALLERS:
        row = uvloop.run(_through_the_writer(directory, callers, events if callers > 8 else events // 20))
        row["bare_write_fdatasync_per_second"] = _bare_disk(directory, callers, line, 500)
        row["over_bare_disk"] = row["events_per_second"] / row["bare_write_fdatasync_per_second"]
        row["over_bare_sha256"] = row["events_per_second"] / found["bare_sha256_per_second"]
        found[f"callers_{callers}"] = row
    found["verify"] = _verification(directory / "verify", verify_records)
    return found


def main() -> None:
    """Measure, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, help="where to write; by default a temporary directory here")
    parser.add_argument("--events", type=int, default=60_000)
    records = int(os.environ.get("AUTHZ_BENCH_RECORDS", "200000"))
    parser.add_argument(
        "--verify-records", type=int, default=records, help="by default AUTHZ_BENCH_RECORDS, else 200,000"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.directory or Path.cwd(), prefix=".ledger-bench-") as scratch:
        found = measure(Path(scratch), asked.events, asked.verify_records)
    sys.stdout.write(json.dumps(found) + "\n")
    for callers in CALLERS:
        row = found[f"callers_{callers}"]
        sys.stdout.write(
            f"{callers:>4} callers: {row['events_per_second']:>8,.0f} events/s, p50 {row['p50_ms']:.2f} ms, p99 "
            f"{row['p99_ms']:.2f} ms, {row['over_bare_disk']:.2f} of bare write+fdatasync, "
            f"{row['over_bare_sha256']:.3f} of bare SHA-256\n"
        )
    checked = found["verify"]
    sys.stdout.write(
        f"verify {checked['records']:,} records ({checked['megabytes']:.0f} MB), CPU time: bare SHA-256 "
        f"{checked['bare_sha256_s']:.2f} s, chain and tree {checked['chain_and_tree_s']:.2f} s "
        f"({checked['chain_and_tree_over_bare']:.2f} x), with every record parsed "
        f"{checked['chain_tree_and_parsing_s']:.2f} s ({checked['chain_tree_and_parsing_over_bare']:.2f} x), "
        f"{checked['more_memory_mb']:.0f} MB more memory; encode and chain {found['encode_and_chain_us']:.2f} us\n"
    )


if __name__ == "__main__":
    main()
