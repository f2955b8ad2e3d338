"""One evaluation of the default policy: the prepared call, opa-py-wasm's own, an OPA server over loopback; and batches.

All ask about the same check, in turns, so that a machine that changes its speed changes it for all. Prints JSON and
then a line for people. `python -m tests.bench.engine_bench [ROUNDS]`
"""

import asyncio
import http.client
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from opapywasm import OpaWasmPolicy, PolicyConfig

from authz.bundle import Bundle, read
from authz.core import Action, ResourceDocument, Subject, check_document, subject_document
from authz.engine import EmbeddedPolicy

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "authz" / "bundles" / "default.tar.gz"
BATCHES = (1, 8, 64, 256)
CALLS = 300

Ask = Callable[[], object]


def check(number: int = 0) -> bytes:
    """A check as the pipeline makes it: 330 bytes, allowed by a role."""
    subject = Subject(
        type="user", id=f"user-{number}", source="token", pseudonym=None, roles=("user_basic",), issuer="https://i.test"
    )
    resource = ResourceDocument(
        type="route", id="/memory/42", host="api.example.com", route="/memory/{id}", params={"id": "42"}
    )
    return check_document(subject_document(subject), Action("GET"), resource, {"now": 1_800_000_000, "ip": "192.0.2.7"})


def timed(ask: Ask, calls: int = CALLS) -> list[float]:
    """The microseconds of each of so many calls."""
    clock, spans = time.perf_counter_ns, []
    for _ in range(calls):
        before = clock()
        ask()
        spans.append((clock() - before) / 1_000)
    return spans


def figures(spans: list[float]) -> dict[str, float]:
    """The percentiles of some spans, in microseconds."""
    cut = statistics.quantiles(spans, n=1000, method="inclusive")
    return {"p50_us": round(cut[499], 1), "p99_us": round(cut[989], 1), "p999_us": round(cut[998], 1)}


def prepared(policy: EmbeddedPolicy, document: bytes) -> Ask:
    """The call alone: bytes in, result set out."""
    module = policy._module
    entrypoint = module.entrypoints["authz/decision"]
    return lambda: module.evaluate(entrypoint, document)


def decided(policy: EmbeddedPolicy, document: bytes) -> Ask:
    """The port: bytes in, a decision held to the contract out."""

    def ask() -> None:
        try:
            policy.evaluate(document).send(None)
        except StopIteration:
            return

    return ask


def whole(policy: EmbeddedPolicy) -> Ask:
    """With the document made first: everything that the engine adds to a decision."""

    def ask() -> None:
        decided(policy, check())()

    return ask


def library(bundle: Bundle, document: bytes) -> Ask:
    """opa-py-wasm's `evaluate_raw`, at its leanest."""
    policy = OpaWasmPolicy.from_wasm_bytes(bundle.wasm, PolicyConfig(pool_size=1, parse_raw_json_input=False))
    policy.set_data(bundle.data_json)
    return lambda: policy.evaluate_raw(document, "authz/decision")


@contextmanager
def server(document: bytes) -> Iterator[Ask | None]:
    """The pinned OPA as a server, asked over one connection that stays open; None where there is no `opa`."""
    found = subprocess.run(
        [sys.executable, ROOT / "tools" / "provision.py", "opa"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [found.stdout.strip(), "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error"]
    process = subprocess.Popen([*command, "--bundle", str(BUNDLE)], stderr=subprocess.DEVNULL)
    try:
        connection = _connected(port)
        body = b'{"input":' + document + b"}"

        def ask() -> None:
            connection.request("POST", "/v1/data/authz/decision", body, {"Content-Type": "application/json"})
            assert b'"allow":true' in connection.getresponse().read()

        yield ask
    finally:
        process.terminate()
        process.wait()


def _connected(port: int) -> http.client.HTTPConnection:
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/health?bundles")
            ready = connection.getresponse()
            ready.read()
            if ready.status == 200:
                return connection
        except ConnectionError:
            time.sleep(0.02)
    raise TimeoutError("OPA does not answer")


async def batches(policy: EmbeddedPolicy, rounds: int) -> dict[str, dict[str, float]]:
    """`evaluate_all` of so many checks, in all and for each."""
    spans: dict[int, list[float]] = {count: [] for count in BATCHES}
    for _ in range(rounds * 20):
        for count in BATCHES:
            checks = [check(number) for number in range(count)]
            before = time.perf_counter_ns()
            await policy.evaluate_all(checks)
            spans[count].append((time.perf_counter_ns() - before) / 1_000)
    return {
        str(count): {**figures(taken), "per_check_us": round(statistics.median(taken) / count, 2)}
        for count, taken in spans.items()
    }


def main() -> None:
    """Run and print."""
    rounds = int((sys.argv[1:2] or ["20"])[0])
    bundle, document = read(BUNDLE), check()
    started = time.perf_counter()
    policy = EmbeddedPolicy.load(bundle.wasm, bundle.data_json, bundle.revision)
    load_seconds = time.perf_counter() - started
    with server(document) as opa:
        ways: dict[str, Ask] = {
            "prepared_call": prepared(policy, document),
            "prepared_decision": decided(policy, document),
            "prepared_whole": whole(policy),
            "library": library(bundle, document),
        }
        ways |= {} if opa is None else {"opa_server": opa}
        spans: dict[str, list[float]] = {name: [] for name in ways}
        for ask in ways.values():
            timed(ask)
        for _ in range(rounds):
            for name, ask in ways.items():
                spans[name] += timed(ask)
    report = {name: figures(taken) for name, taken in spans.items()}
    base = report["prepared_call"]["p50_us"]
    ratios = {name: round(each["p50_us"] / base, 1) for name, each in report.items()}
    batch = asyncio.run(batches(policy, rounds))
    out = {
        "document_bytes": len(document),
        "load_seconds": round(load_seconds, 3),
        "one": report,
        "ratio_to_prepared_call": ratios,
        "batch": batch,
        "counts": policy.counts,
    }
    print(msgspec.json.format(msgspec.json.encode(out)).decode())
    others = ", ".join(f"{name} {ratio}x" for name, ratio in ratios.items() if name != "prepared_call")
    print(f"prepared call {base} us; {others}; batch of 64: {batch['64']['per_check_us']} us a check")
    policy.close()


if __name__ == "__main__":
    main()
