"""Many checks in one request: what each costs, durable record included, and how many a second one process answers.

Single evaluations of the same questions are driven beside it. The load generator shares the machine's cores, so the
CPU that the sidecar itself spent is the steadier figure. `python -m tests.bench.batch_bench [ROUNDS] [SECONDS]`
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tests.processes import sidecar

_TICKS = os.sysconf("SC_CLK_TCK")
_ITEMS = 100
_SUBJECT = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}


def _routes(number: int) -> dict[str, Any]:
    """A page asks which of its items may be read."""
    return {"action": {"name": "GET"}, "resource": {"type": "route", "id": f"/memory/{number}"}}


def _scopes(number: int) -> dict[str, Any]:
    """An application asks for scopes by name, some of them held."""
    names = ("memory:read", "memory:write", "ai:chat", "calendar:read", "photos:share")
    return {"action": {"name": "use"}, "resource": {"type": "scope", "id": names[number % len(names)]}}


def _request(path: str, body: Any) -> bytes:
    content = msgspec.json.encode(body)
    head = f"POST /access/v1/{path} HTTP/1.1\r\nHost: pdp\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


CASES = {
    "100 routes": (
        _request("evaluations", {"subject": _SUBJECT, "evaluations": [_routes(n) for n in range(_ITEMS)]}),
        _ITEMS,
    ),
    "100 scopes": (
        _request("evaluations", {"subject": _SUBJECT, "evaluations": [_scopes(n) for n in range(_ITEMS)]}),
        _ITEMS,
    ),
    "1 route": (_request("evaluation", {"subject": _SUBJECT, **_routes(1)}), 1),
}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _drive(pid: int, port: int, request: bytes, items: int, connections: int, seconds: str) -> dict[str, float]:
    before = _cpu_seconds(pid)
    command = [sys.executable, "-m", "tests.bench.load", "127.0.0.1", str(port), str(connections), seconds]
    report = msgspec.json.decode(subprocess.run(command, input=request, capture_output=True, check=True).stdout)
    if report["statuses"] != {"200": report["requests"]}:
        raise AssertionError(report["statuses"])
    decided = report["requests"] * items
    return {
        "per_second": report["per_second"] * items,
        "cpu_us": (_cpu_seconds(pid) - before) / decided * 1e6,
        "p99_ms": report["p99_ms"],
    }


def main() -> None:
    """Run and print."""
    rounds, seconds = int((sys.argv[1:2] or ["3"])[0]), (sys.argv[2:3] or ["3"])[0]
    # What else runs on the machine may well take longer than the 50 ms that an evaluation has.
    patient = {"AUTHZ_POLICY__DEADLINE_SECONDS": "1"}
    costs: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        sidecar(Path(directory) / "state", environment=patient) as running,
    ):
        for name, (request, items) in CASES.items():
            taken = [
                _drive(running.process.pid, running.port, request, items, 4 if items > 1 else 64, seconds)
                for _ in range(rounds)
            ]
            figures = {each: statistics.median(one[each] for one in taken) for each in taken[0]}
            print(
                f"{name}: {figures['per_second']:,.0f} audited decisions/s, {figures['cpu_us']:.1f} us of CPU each "
                f"(least {min(one['cpu_us'] for one in taken):.1f}), p99 of a request {figures['p99_ms']} ms"
            )
            costs[name] = figures["cpu_us"]
    single = costs["1 route"]
    print(*(f"{name}: {cost / single:.2f} of a single evaluation's CPU" for name, cost in costs.items()), sep="\n")


if __name__ == "__main__":
    main()
