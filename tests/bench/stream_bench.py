"""Many open decision streams: whether every message gets its own answer, and what a stream costs.

    python -m tests.bench.stream_bench [STREAMS] [MESSAGES A SECOND EACH] [SECONDS]

The answers are known beforehand; each is held to its question. The client shares the machine's cores with the sidecar.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import uvloop

from tests.http.streaming import Client, stream
from tests.processes import Sidecar, sidecar

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OPENED_AT_ONCE = 50
_PATIENCE_SECONDS = 600.0
PATIENT = {"AUTHZ_POLICY__DEADLINE_SECONDS": "1"}
"""A sidecar that waits for a core that others use, rather than to answer that it could not decide."""

_SUBJECT = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}
_QUESTIONS: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"subject": _SUBJECT, "action": {"name": "GET"}, "resource": {"type": "route", "id": "/memory/m-1"}}, True),
    ({"subject": _SUBJECT, "action": {"name": "PUT"}, "resource": {"type": "route", "id": "/admin/config"}}, False),
    ({"subject": _SUBJECT, "action": {"name": "use"}, "resource": {"type": "scope", "id": "memory:read"}}, True),
)


class Measured(NamedTuple):
    """What came of it. Memory and CPU are the sidecar's; latencies include the client's own waiting for a core."""

    streams: int
    asked: int
    mismatched: int
    undecided: int
    lost: int
    seconds: float
    cpu_us_each: float
    idle_kib_each: float
    p50_ms: float
    p99_ms: float


class _Asking:
    """One stream: asks at its own pace, and holds each answer to what was asked under its id."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._expected: dict[int, tuple[bool, float]] = {}
        self.asked = self.mismatched = self.undecided = 0
        self.seconds: list[float] = []

    @property
    def lost(self) -> int:
        """How many questions have no answer."""
        return len(self._expected)

    async def ask(self, per_second: float, count: int) -> None:
        """Ask so many questions, no faster than told, whatever becomes of the answers."""
        start = time.perf_counter() + (self._number % 100) / 100 / per_second
        for turn in range(count):
            await asyncio.sleep(max(0.0, start + turn / per_second - time.perf_counter()))
            question, expected = _QUESTIONS[(self._number + turn) % len(_QUESTIONS)]
            self.asked += 1
            self._expected[turn] = (expected, time.perf_counter())
            await self._client.send(id=turn, evaluation=question)

    async def listen(self, count: int) -> None:
        """Until so many answers have come, or the stream has ended."""
        for _ in range(count):
            message = await self._client.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            answer = msgspec.json.decode(message.data)
            expected, sent = self._expected.pop(answer["id"], (None, 0.0))
            if "context" in answer:
                self.undecided += 1
            else:
                self.mismatched += answer != {"id": answer["id"], "decision": expected}
            self.seconds.append(time.perf_counter() - sent)


async def measure(pdp: Sidecar, streams: int, per_second: float, seconds: float) -> Measured:
    """Open streams, let them lie, then ask on all of them."""
    pid, count = pdp.process.pid, max(1, round(per_second * seconds))
    async with AsyncExitStack() as stack:
        before, clients = _resident(pid), list[Client]()
        for _ in range(0, streams, _OPENED_AT_ONCE):
            some = min(_OPENED_AT_ONCE, streams - len(clients))
            opening = [stack.enter_async_context(stream(pdp.decision)) for _ in range(some)]
            clients += [await each for each in opening]
        await asyncio.sleep(1.0)
        idle = _resident(pid) - before
        asking = [_Asking(client, number) for number, client in enumerate(clients)]
        cpu, started = _cpu_seconds(pid), time.perf_counter()
        try:
            async with asyncio.timeout(seconds + _PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                for each in asking:
                    group.create_task(each.ask(per_second, count))
                    group.create_task(each.listen(count))
        except TimeoutError:
            print("not all answers came in time", file=sys.stderr)
        taken, spent = time.perf_counter() - started, _cpu_seconds(pid) - cpu
    latencies = sorted(each for asked in asking for each in asked.seconds)
    total = sum(each.asked for each in asking)
    return Measured(
        streams,
        total,
        sum(each.mismatched for each in asking),
        sum(each.undecided for each in asking),
        sum(each.lost for each in asking),
        taken,
        spent / total * 1e6,
        idle / streams / 1024,
        latencies[len(latencies) // 2] * 1000,
        latencies[len(latencies) * 99 // 100] * 1000,
    )


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> None:
    """Run and print."""
    given = [float(each) for each in sys.argv[1:]]
    streams, per_second, seconds = (*given, *(1000.0, 10.0, 10.0)[len(given) :])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory, sidecar(Path(directory) / "state", environment=PATIENT) as pdp:
        found = uvloop.run(measure(pdp, int(streams), per_second, seconds))
    print(
        f"{found.streams} streams, {found.asked} messages in {found.seconds:.1f} s: {found.mismatched} mismatched, "
        f"{found.undecided} undecided, {found.lost} lost; {found.cpu_us_each:.0f} us of CPU each, "
        f"p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms; {found.idle_kib_each:.1f} KiB for an idle stream"
    )


if __name__ == "__main__":
    main()
