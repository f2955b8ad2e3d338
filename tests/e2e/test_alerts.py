"""What goes wrong is told by the right alert, at the right severity, and by nothing else.

Real sidecars, each with a real Prometheus and the shipped rules, windows a thirtieth of what they are; real failures.
"""

import contextlib
import http.client
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from authz.identity import mint_token
from tests.conftest import missing
from tests.processes import Sidecar, sidecar, wait_for
from tests.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

FACTOR = 30
PATHS = (
    "/photos/p/share",
    "/ai/voice",
    "/care/c",
    "/admin/users",
    "/admin/audit",
    "/calendar/events/e/share",
    "/photos",
)
Fault = Callable[["Scene"], contextlib.AbstractContextManager[None]]


class Traffic:
    """Clients that ask for something they may have, all the time, `pause` seconds after each answer."""

    def __init__(self, url: str, token: str, *, clients: int, pause: float) -> None:
        self._url, self._token, self._pause = url, token, pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            ask(self._url, "GET", "/memory", self._token)


def ask(url: str, method: str, path: str, token: str) -> int:
    """One check; the status."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, f"/check/envoy{path}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class Scene(NamedTuple):
    """A sidecar, who watches it, and what is known of it."""

    sidecar: Sidecar
    prometheus: Prometheus
    segment: Path


@contextlib.contextmanager
def outage(scene: Scene) -> Iterator[None]:
    """The ledger's files may not grow any more: every record fails."""
    resource.prlimit(scene.sidecar.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield


@contextlib.contextmanager
def slowness(scene: Scene) -> Iterator[None]:
    """Every fdatasync takes 0.7 s: slower than a decision may be, faster than a request may be."""
    tool = shutil.which("strace") or missing("strace")
    command = [tool, "-f", "-qq", "-o", "/dev/null", "-p", str(scene.sidecar.process.pid), "-e", "trace=fdatasync"]
    with subprocess.Popen([*command, "-e", "inject=fdatasync:delay_enter=700000"]) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def tampering(scene: Scene) -> Iterator[None]:
    """A byte of a record that was sealed and signed is changed."""
    lines = scene.segment.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"type":"', b'"tYpe":"', 1)
    scene.segment.chmod(0o600)
    scene.segment.write_bytes(b"\n".join(lines))
    yield


@contextlib.contextmanager
def probing(scene: Scene) -> Iterator[None]:
    """Some subjects try one thing after the other that they may not do."""
    for n in range(6):
        token = mint_token(scene.sidecar.state, f"curious-{n}", ["caregiver_basic"], ["memory:read"])
        for path in PATHS:
            method = "GET" if path.startswith(("/care", "/admin", "/photos")) and "share" not in path else "POST"
            assert ask(scene.sidecar.decision, method, path, token) == 403
    yield


class Case(NamedTuple):
    """What goes wrong after so many good requests, how many clients ask and how fast, and what has to fire."""

    fault: Fault
    requests: int
    clients: int
    pause: float
    expected: frozenset[tuple[str, str]]


CASES = {
    "outage": Case(
        outage,
        150,
        2,
        0.05,
        frozenset(
            {
                ("AuthzLedgerFailing", "critical"),
                ("AuthzApiAvailabilityBurn", "critical"),
                ("AuthzApiAvailabilityBurn", "warning"),
                ("AuthzAuthSuccessBurn", "critical"),
                ("AuthzAuthSuccessBurn", "warning"),
                ("AuthzErrors5xxBurn", "warning"),
            }
        ),
    ),
    "latency step": Case(
        slowness, 150, 16, 0.2, frozenset({("AuthzAuthLatencyBurn", "critical"), ("AuthzAuthLatencyBurn", "warning")})
    ),
    "tampered ledger": Case(tampering, 150, 2, 0.05, frozenset({("AuthzAuditIntegrity", "critical")})),
    # So many that the denials stay below what the objective for 4xx allows.
    "scope probing": Case(probing, 1500, 4, 0.01, frozenset({("AuthzScopeProbing", "warning")})),
}


class Seen(NamedTuple):
    """What fired before the fault, and what at the end."""

    before: set[tuple[str, str]]
    after: set[tuple[str, str]]


def played(case: Case, place: Path) -> Seen:
    """Play one case from beginning to end."""
    state = place / "state"
    with sidecar(state) as first:
        token = first.token("alice", "user_basic")
        for _ in range(5):
            assert ask(first.decision, "GET", "/memory", token) == 200
        assert first.stop() == 0
    (segment,) = (state / "audit" / "worker-0").glob("*.jsonl")
    # The log goes to a file, which may not grow either in one of the cases.
    with (
        sidecar(state, environment={"AUTHZ_LOG__LEVEL": "error"}) as running,
        prometheus(place / "prometheus", running.admin, factor=FACTOR) as server,
        Traffic(running.decision, token, clients=case.clients, pause=case.pause),
    ):
        # As the objectives count it: what came before a first scrape, which may be late, is not known to them.
        good = f"sum(increase(authz_requests_total[10m])) > {case.requests}"
        wait_for("good traffic", lambda: server.query(good), 120)
        wait_for("a burn rate", lambda: server.query("slo:current_burn_rate:ratio"), 120)
        # A busy machine may have answered a first scrape too late.
        with contextlib.suppress(AssertionError):
            wait_for("silence", lambda: not server.firing(), 60)
        before = server.firing()
        # Looked at while the fault lasts: the shortest windows forget it within seconds.
        with case.fault(Scene(running, server, segment)):
            with contextlib.suppress(AssertionError):
                wait_for("the alerts", lambda: server.firing() >= case.expected, 300)
            time.sleep(3)  # Whatever else there may be has had its time too.
            return Seen(before, server.firing())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """All cases, side by side: what takes time is waiting."""
    places = {name: tmp_path_factory.mktemp(name.replace(" ", "-")) for name in CASES}
    with ThreadPoolExecutor(len(CASES)) as threads:
        playing = {name: threads.submit(played, case, places[name]) for name, case in CASES.items()}
        return {name: each.result() for name, each in playing.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_fires_the_right_alert_and_nothing_else(name: str, scenes: dict[str, Seen]) -> None:
    """Quiet under good traffic; then exactly the alerts of this fault, each at its severity."""
    assert scenes[name] == Seen(set(), set(CASES[name].expected))
