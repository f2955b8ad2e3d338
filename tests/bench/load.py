"""A load generator: N keep-alive connections, each sending its next request when the last is answered.

    python -m tests.bench.load HOST PORT CONNECTIONS SECONDS < REQUEST

The raw request is read from standard input and sent again and again, until SIGTERM at the latest. Prints JSON:
requests, statuses, latencies.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter

import msgspec
import uvloop


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, results: "Results") -> None:
        self._request = request
        self._results = results
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.find(b"\r", at) if b"\r" in head[at:] else None]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._results.add(self._buffer[9:12], time.perf_counter() - self._sent)
        self._buffer = self._buffer[end + 4 + length :]
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._results.lost += not self._results.done

    def _send(self) -> None:
        if self._transport is not None and not self._results.done:
            self._sent = time.perf_counter()
            self._transport.write(self._request)


class Results:
    """What came back."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.lost = 0
        self.done = False

    def add(self, status: bytes, seconds: float) -> None:
        """Count one answer."""
        self.statuses[status.decode()] += 1
        self.seconds.append(seconds)

    def report(self, seconds: float) -> dict[str, object]:
        """Requests per second and latency quantiles in milliseconds."""
        ordered = sorted(self.seconds)
        return {
            "requests": len(ordered),
            "per_second": round(len(ordered) / seconds),
            "statuses": dict(self.statuses),
            "lost_connections": self.lost,
            "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3) if ordered else None,
            "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 3) if ordered else None,
        }


async def _run(host: str, port: int, connections: int, seconds: float, request: bytes) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    results = Results()
    transports = [
        (await loop.create_connection(lambda: _Connection(request, results), host, port))[0] for _ in range(connections)
    ]
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    began = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    seconds = time.perf_counter() - began
    results.done = True
    for transport in transports:
        transport.close()
    return results.report(seconds)


def main() -> None:
    """Run as told by the arguments."""
    host, port, connections, seconds = sys.argv[1:5]
    request = sys.stdin.buffer.read()
    report = uvloop.run(_run(host, int(port), int(connections), float(seconds), request))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
