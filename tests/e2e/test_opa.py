"""A sidecar whose policy a local OPA server evaluates: the same answers, and what happens when that one is stopped."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import decisions_in
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = pytest.mark.e2e

CALLERS = 16
DEADLINE_SECONDS = 0.25


@pytest.fixture
def running(tmp_path: Path, opa_binary: Path) -> Iterator[Sidecar]:
    """A sidecar with an OPA of its own."""
    with sidecar(
        tmp_path / "state", "--dev", "--engine", "opa", environment={"AUTHZ_OPA__PROGRAM": str(opa_binary)}
    ) as process:
        yield process


def opa_of(running: Sidecar) -> int:
    """The number of its OPA."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        head, _, rest = entry.read_text().rpartition(")")
        if head.partition("(")[2] == "opa" and int(rest.split()[1]) == running.process.pid:
            return int(entry.parent.name)
    raise LookupError("it has no OPA")


def check(running: Sidecar, path: str, bearer: str = "") -> int:
    """The status of one check."""
    with Client(running.decision) as client:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return client.send("GET", f"/check/envoy{path}", headers).status


def test_decisions_come_from_opa(running: Sidecar) -> None:
    """Allow, deny and refusal as with the embedded engine; each record says who evaluated it, by which revision."""
    alice = running.token("alice", "user_basic")
    asked = [("/health", ""), ("/memory", alice), ("/admin/config", alice), ("/memory", "")]
    assert [check(running, path, bearer) for path, bearer in asked] == [200, 200, 403, 401]
    records = decisions_in(running.state, 4)
    assert {(each["engine"], each["revision"]) for each in records} == {("opa", records[0]["revision"])}
    metrics = running.metrics()
    assert metrics['authz_engine_state{state="closed"}'] == 1
    assert metrics["authz_engine_starts_total"] == 1
    assert metrics["authz_engine_batch_checks_sum"] == 4


class Load:
    """Callers of two kinds: whom the policy allows, and whom it must never allow."""

    def __init__(self, running: Sidecar) -> None:
        self._running = running
        self._end = threading.Event()
        self.statuses: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        self.slowest_refusal_seconds = 0.0
        self.last_allow = 0.0
        alice = running.token("alice", "user_basic")
        self._threads = [
            threading.Thread(target=self._call, args=(alice, number % 2 == 0)) for number in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, bearer: str, allowed: bool) -> None:
        path = "/check/envoy/memory" if allowed else "/check/envoy/admin/config"
        with Client(self._running.decision) as client:
            while not self._end.is_set():
                begun = time.monotonic()
                status = client.send("GET", path, {"Authorization": f"Bearer {bearer}"}).status
                now = time.monotonic()
                self.statuses[allowed][status] += 1
                if status == 503:
                    self.slowest_refusal_seconds = max(self.slowest_refusal_seconds, now - begun)
                    time.sleep(0.005)
                elif status == 200:
                    self.last_allow = now

    def stop(self) -> None:
        """End it."""
        self._end.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("harm", [signal.SIGSTOP, signal.SIGKILL], ids=lambda harm: harm.name)
def test_an_opa_that_fails_under_load(running: Sidecar, harm: signal.Signals) -> None:
    """Stopped or killed: no wrong allow, 503 meanwhile, allows when it is back; after a kill another one is started."""
    load = Load(running)
    try:
        wait_for("allows", lambda: load.statuses[True][200] > 50)
        before = opa_of(running)
        os.kill(before, harm)
        wait_for(
            "refusals", lambda: load.statuses[True][503] > 20 or (harm is signal.SIGKILL and load.statuses[True][503])
        )
        if harm is signal.SIGSTOP:
            os.kill(before, signal.SIGCONT)
        mended = time.monotonic()
        wait_for("allows again", lambda: load.last_allow > mended)
        recovery_seconds = load.last_allow - mended
    finally:
        load.stop()
    assert set(load.statuses[True]) == {200, 503}
    assert set(load.statuses[False]) <= {403, 503}
    # The machine that tests run on is a busy one: the engine's own tests hold the deadline against the loop's lag.
    assert load.slowest_refusal_seconds < DEADLINE_SECONDS + 2.0
    assert recovery_seconds < 10.0
    assert check(running, "/health") == 200
    assert running.metrics()["authz_engine_starts_total"] == (1 if harm is signal.SIGSTOP else 2)
