"""The whole path against bare aiohttp: throughput, latency, CPU per decision, start-up time, memory.

Each server is driven alone, by the same generator, with 64 connections, in turns; the figures are medians of the
rounds. One sidecar runs with its auditor, which reads back, checks and signs beside it and keeps the index; one with an
auditor that keeps none; and one without an auditor.
`python -m tests.bench.decision_bench [ROUNDS] [SECONDS]`
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from authz import audit

_CONNECTIONS = "64"
_TICKS = os.sysconf("SC_CLK_TCK")


class Target:
    """A running server and the request it is driven with."""

    def __init__(
        self, name: str, process: "subprocess.Popen[str]", port: int, request: bytes, state: str | None = None
    ) -> None:
        self.name, self.process, self.port, self.request, self.state = name, process, port, request, state
        self.rounds: list[dict[str, Any]] = []

    def drive(self, seconds: str) -> None:
        """One round."""
        before = cpu_seconds(self.process.pid)
        command = [sys.executable, "-m", "tests.bench.load", "127.0.0.1", str(self.port), _CONNECTIONS, seconds]
        report = msgspec.json.decode(
            subprocess.run(command, input=self.request, capture_output=True, check=True).stdout
        )
        cpu = cpu_seconds(self.process.pid) - before
        self.rounds.append({**report, "cpu_us": cpu / report["requests"] * 1e6, **_lags(self.state)})

    def median(self, figure: str) -> float:
        """The median of one figure over the rounds."""
        return float(statistics.median(each[figure] for each in self.rounds))


def _lags(state: str | None) -> dict[str, float]:
    """When the load ended: durable records without a checkpoint, those not indexed, and for how long they were not."""
    status = audit.read_status(Path(state)) if state is not None else None
    if state is None or status is None:
        return {"lag_records": 0, "index_lag_records": 0, "index_behind_seconds": 0.0}
    signed, indexed = sum(each.lag_records for each in status.streams), _index_lag(state)
    start = time.perf_counter()
    while _index_lag(state) and time.perf_counter() < start + 120:
        time.sleep(0.1)
    behind = time.perf_counter() - start if indexed else 0.0
    return {"lag_records": signed, "index_lag_records": indexed, "index_behind_seconds": behind}


def _index_lag(state: str) -> int:
    status = audit.read_status(Path(state))
    return 0 if status is None else sum(each.lag_records for each in status.consumers if each.name == "index")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _bare(kind: str) -> Target:
    command = [sys.executable, "-m", "tests.bench.bare", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    return Target(f"bare {kind}", process, port, b"GET /memory HTTP/1.1\r\nHost: api.example\r\n\r\n")


def _sidecar(state: str, **settings: str) -> tuple["subprocess.Popen[str]", int, float]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "authz", "serve", "--dev", "--state", state]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    environment = {**os.environ, **{f"AUTHZ_AUDIT__{name.upper()}": value for name, value in settings.items()}}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    places = msgspec.json.decode(process.stdout.readline())["listening"]
    return process, int(places["decision"].rpartition(":")[2]), time.perf_counter() - started


def requests_of(state: str) -> dict[str, bytes]:
    mint = [sys.executable, "-m", "authz", "token", "--state", state, "--sub", "alice", "--role", "user_basic"]
    token = subprocess.run(mint, capture_output=True, text=True, check=True).stdout.strip()
    head = f"Host: api.example\r\nAuthorization: Bearer {token}\r\n"
    body = '{"subject":{"type":"user","id":"alice"},"action":{"name":"GET"},"resource":{"type":"route","id":"/memory"}}'
    evaluation = f"POST /access/v1/evaluation HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
    return {
        "check/envoy": f"GET /check/envoy/memory HTTP/1.1\r\n{head}\r\n".encode(),
        "access/v1/evaluation": f"{evaluation}Content-Length: {len(body)}\r\n\r\n{body}".encode(),
    }


def main() -> None:
    """Run and print."""
    rounds, seconds = int((sys.argv[1:2] or ["3"])[0]), (sys.argv[2:3] or ["3"])[0]
    with (
        tempfile.TemporaryDirectory() as state,
        tempfile.TemporaryDirectory() as unindexed,
        tempfile.TemporaryDirectory() as unsigned,
    ):
        process, port, start_seconds = _sidecar(state)
        targets = [_bare("application"), _bare("server")]
        targets += [Target(name, process, port, request, state) for name, request in requests_of(state).items()]
        for name, other, settings in (
            ("check/envoy, no index", unindexed, {"index": "false"}),
            ("check/envoy, no auditor", unsigned, {"auditor": "off"}),
        ):
            beside, beside_port, _ = _sidecar(other, **settings)
            targets.append(Target(name, beside, beside_port, requests_of(other)["check/envoy"], other))
        idle_mib = _resident_mib(process.pid)
        try:
            for _ in range(rounds):
                for target in targets:
                    target.drive(seconds)
            _print(targets, start_seconds, idle_mib, _resident_mib(process.pid))
        finally:
            for each in {target.process for target in targets}:
                each.terminate()
                each.wait()


def _print(targets: list[Target], start_seconds: float, idle_mib: float, loaded_mib: float) -> None:
    bare = targets[0]
    figures: dict[str, Any] = {
        "start_to_ready_seconds": round(start_seconds, 2),
        "resident_mib": {"idle": round(idle_mib), "after_load": round(loaded_mib)},
    }
    for target in targets:
        figures[target.name] = {
            "per_second": round(target.median("per_second")),
            "ratio_to_bare_application": round(target.median("per_second") / bare.median("per_second"), 2),
            "cpu_us": round(target.median("cpu_us"), 1),
            "cpu_us_over_bare_application": round(target.median("cpu_us") - bare.median("cpu_us"), 1),
            "p50_ms": target.median("p50_ms"),
            "p99_ms": target.median("p99_ms"),
            "lag_records": target.median("lag_records"),
            "index_lag_records": target.median("index_lag_records"),
            "index_behind_seconds": round(target.median("index_behind_seconds"), 2),
            "statuses": target.rounds[-1]["statuses"],
        }
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    for target in targets[2:]:
        print(
            f"{target.name}: {target.median('per_second'):,.0f}/s, {figures[target.name]['ratio_to_bare_application']} "
            f"of bare aiohttp, {figures[target.name]['cpu_us_over_bare_application']} us CPU over it"
        )
    indexed, unindexed, unsigned = (each.median("per_second") for each in (targets[2], *targets[-2:]))
    print(
        f"with its index {indexed / unindexed:.2f} of the throughput without; with auditor and index "
        f"{indexed / unsigned:.2f} of that without either; at the end {targets[2].median('lag_records'):,.0f} records "
        f"were to be signed and {targets[2].median('index_lag_records'):,.0f} to be indexed, which took "
        f"{targets[2].median('index_behind_seconds'):.1f} s"
    )


if __name__ == "__main__":
    main()
