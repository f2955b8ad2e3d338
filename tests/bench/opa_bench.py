"""The whole path with the policy evaluated by a local OPA server, beside the same with the embedded engine.

Both are driven by the same generator with 64 connections, in turns, by the same requests. Prints JSON, then a line with
the ratio, the mean batch and the CPU time per decision of sidecar and OPA.
`python -m tests.bench.opa_bench [ROUNDS] [SECONDS]`
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from authz.bundle import OpaMissingError, find_opa
from tests.bench.decision_bench import Target, cpu_seconds, requests_of
from tests.processes import Sidecar, sidecar

_CONNECTIONS = 64


def main() -> None:
    """Run and print."""
    try:
        find_opa()
    except OpaMissingError as error:
        print(f"not measured: {error}")
        return
    rounds, seconds = int((sys.argv[1:2] or ["3"])[0]), (sys.argv[2:3] or ["3"])[0]
    with _running("embedded") as (embedded, _), _running("opa") as (opa, running):
        server = _child_of(running.process.pid, "opa")
        before = cpu_seconds(server)
        for _ in range(rounds):
            embedded.drive(seconds)
            opa.drive(seconds)
        _print(embedded, opa, running.metrics(), cpu_seconds(server) - before)


@contextlib.contextmanager
def _running(engine: str) -> Iterator[tuple[Target, Sidecar]]:
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch, "state")
        without_auditor = {"AUTHZ_AUDIT__AUDITOR": "off"}
        with sidecar(state, "--dev", "--engine", engine, environment=without_auditor) as running:
            request = requests_of(str(state))["check/envoy"]
            yield Target(engine, running.process, running.port, request, str(state)), running
            running.stop()


def _child_of(parent: int, name: str) -> int:
    """The process of that name which `parent` started."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        head, _, rest = entry.read_text().rpartition(")")
        if head.partition("(")[2] == name and int(rest.split()[1]) == parent:
            return int(entry.parent.name)
    raise LookupError(f"process {parent} has no child {name}")


def _print(embedded: Target, opa: Target, metrics: dict[str, float], opa_cpu_seconds: float) -> None:
    requests = sum(each["requests"] for each in opa.rounds)
    calls, checks = metrics["authz_engine_batch_checks_count"], metrics["authz_engine_batch_checks_sum"]
    figures = {
        target.name: {
            "per_second": round(target.median("per_second")),
            "cpu_us": round(target.median("cpu_us"), 1),
            "p50_ms": target.median("p50_ms"),
            "p99_ms": target.median("p99_ms"),
            "statuses": target.rounds[-1]["statuses"],
        }
        for target in (embedded, opa)
    }
    ratio = opa.median("per_second") / embedded.median("per_second")
    out = {
        **figures,
        "ratio_to_embedded": round(ratio, 2),
        "checks_per_call": round(checks / calls, 1),
        "opa_cpu_us": round(opa_cpu_seconds / requests * 1e6, 1),
    }
    print(msgspec.json.format(msgspec.json.encode(out)).decode())
    print(
        f"an OPA server: {ratio:.2f} of the embedded engine's throughput at {_CONNECTIONS} connections, "
        f"{out['checks_per_call']} checks in a call, {out['opa_cpu_us']} us of OPA's CPU time for each decision"
    )


if __name__ == "__main__":
    main()
