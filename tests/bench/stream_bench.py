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
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import uvloop

from tests.processes import Sidecar, sidecar

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OPENED_AT_ONCE = 50
_PATIENCE_SECONDS = 60.0
PATIENT = {"AUTHZ_POLICY__DEADLINE_SECONDS": "1"}
"""A sidecar that waits for a core that others use, rather than to answer that it could not decide."""

_LONG = 126
"""A text of so many bytes has its length in two more bytes (RFC 6455 section 5.2)."""

_HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: pdp\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: authz.v1\r\n\r\n"
)


def _question(method: str, kind: str, name: str) -> bytes:
    subject = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}
    asked = {"subject": subject, "action": {"name": method}, "resource": {"type": kind, "id": name}}
    return msgspec.json.encode(asked)


_QUESTIONS = (
    (_question("GET", "route", "/memory/m-1"), b"true"),
    (_question("PUT", "route", "/admin/config"), b"false"),
    (_question("use", "scope", "memory:read"), b"true"),
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


class _Asking(asyncio.Protocol):
    """One stream, as lean as a client can be, to leave the machine to the sidecar: frames made by hand.

    It holds each answer to what was asked under its id.
    """

    def __init__(self, number: int) -> None:
        self.asked = self.mismatched = self.undecided = 0
        self.seconds: list[float] = []
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = asyncio.Event()
        self._number = number
        self._expected: dict[int, tuple[bytes, float]] = {}
        self._read = b""
        self._count = 0
        self._transport: asyncio.Transport

    @property
    def lost(self) -> int:
        """How many questions have no answer."""
        return len(self._expected)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self.opened.done():
            head, ended, self._read = self._read.partition(b"\r\n\r\n")
            if not ended:
                self._read = head
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self.opened.set_result(None)
        while (length := _framed(self._read)) is not None:
            self._heard(self._read[2:length])
            self._read = self._read[length:]

    def connection_lost(self, error: Exception | None) -> None:
        self.answered.set()

    async def ask(self, per_second: float, count: int) -> None:
        """Ask so many questions, no faster than told, and wait until they are answered or the stream has ended."""
        self._count = count
        start = time.perf_counter() + (self._number % 100) / 100 / per_second
        for turn in range(count):
            await asyncio.sleep(max(0.0, start + turn / per_second - time.perf_counter()))
            question, expected = _QUESTIONS[(self._number + turn) % len(_QUESTIONS)]
            self.asked += 1
            self._expected[turn] = (expected, time.perf_counter())
            self._transport.write(_frame(b'{"id":%d,"evaluation":%b}' % (turn, question)))
        await self.answered.wait()

    def close(self) -> None:
        """Go away."""
        self._transport.close()

    def _heard(self, message: bytes) -> None:
        answer = msgspec.json.decode(message)
        expected, sent = self._expected.pop(answer["id"], (b"", 0.0))
        if "context" in answer:
            self.undecided += 1
        else:
            self.mismatched += message != b'{"id":%d,"decision":%b}' % (answer["id"], expected)
        self.seconds.append(time.perf_counter() - sent)
        if len(self.seconds) >= self._count:
            self.answered.set()


def _frame(text: bytes) -> bytes:
    """A text frame of a client (RFC 6455 section 5.2); a masking key of zeros leaves the text as it is."""
    length = bytes((0x80 | len(text),)) if len(text) < _LONG else bytes((0x80 | _LONG, *len(text).to_bytes(2)))
    return b"\x81" + length + bytes(4) + text


def _framed(read: bytes) -> int | None:
    """The length of the first frame of the sidecar, all of them short texts; None while it is not all there."""
    if len(read) < 2:
        return None
    assert (read[0], read[1] < _LONG) == (0x81, True), read
    return 2 + read[1] if len(read) >= 2 + read[1] else None


async def measure(pdp: Sidecar, streams: int, per_second: float, seconds: float) -> Measured:
    """Open streams, let them lie, then ask on all of them."""
    pid, count, loop = pdp.process.pid, max(1, round(per_second * seconds)), asyncio.get_running_loop()
    before, asking = _resident(pid), list[_Asking]()
    try:
        for start in range(0, streams, _OPENED_AT_ONCE):
            numbers = range(start, min(start + _OPENED_AT_ONCE, streams))
            for number in numbers:
                asking.append(_Asking(number))
                await loop.create_connection(lambda: asking[-1], "127.0.0.1", pdp.port)
            await asyncio.wait_for(asyncio.gather(*(asking[number].opened for number in numbers)), _PATIENCE_SECONDS)
        await asyncio.sleep(1.0)
        idle = _resident(pid) - before
        cpu, started = _cpu_seconds(pid), time.perf_counter()
        try:
            async with asyncio.timeout(seconds + _PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                for each in asking:
                    group.create_task(each.ask(per_second, count))
        except TimeoutError:
            print("not all answers came in time", file=sys.stderr)
        taken, spent = time.perf_counter() - started, _cpu_seconds(pid) - cpu
    finally:
        for each in asking:
            each.close()
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
