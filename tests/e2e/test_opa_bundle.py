"""An OPA server that has its bundle from the sidecar which asks it: the shipped file, real processes, under load."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import msgspec
import pytest

from authz.audit import get_audit_events
from tests.activation.policies import members_of, put, signed
from tests.bundle.signers import Signer, make_signer
from tests.conftest import ROOT
from tests.e2e.client import Client, HungUpError
from tests.e2e.conftest import decisions_in
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = pytest.mark.e2e

DEPLOY = ROOT / "deploy" / "opa"
TOKEN, SECRET, HAMMER = "the-engine's", "the-bundle's", "on-call's"
CALLERS = 8
LONG_POLL_SECONDS = 30


class Pair(NamedTuple):
    """A sidecar that follows a file, and the OPA that follows the sidecar."""

    running: Sidecar
    source: Path
    signer: Signer
    log: Path


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def configuration(directory: Path, socket: Path, source: Path, signer: Signer) -> Path:
    """The sidecar's: who may fetch the bundle may do nothing else, and who asks may not fetch it."""
    (directory / "engine-token").write_text(TOKEN)
    text = f"""
engine = "opa"

[opa]
url = "unix:{socket}"
token_file = "{directory}/engine-token"
deadline_seconds = 2.0

[policy]
source = "{source}"
poll_seconds = 0.1

[[policy.keys]]
id = "release"
file = "{signer.public}"

[[callers]]
name = "opa"
via = "bearer"
token_sha256 = "{digest(SECRET)}"
bundle = true
routes = ["/v1/policy/bundle"]

[[callers]]
name = "gateway"
via = "loopback"

[[admin.tokens]]
name = "on-call"
sha256 = "{digest(HAMMER)}"
"""
    path = directory / "authz.toml"
    path.write_text(text)
    return path


@contextlib.contextmanager
def opa_beside(binary: Path, directory: Path, socket: Path, running: Sidecar, signer: Signer) -> Iterator[Path]:
    """OPA with `deploy/opa/sidecar.yaml`; its log."""
    (directory / "bundle-secret").write_text(SECRET)
    environment = {
        **os.environ,
        "AUTHZ_SIDECAR_URL": running.decision,
        "AUTHZ_BUNDLE_SECRET": str(directory / "bundle-secret"),
        "AUTHZ_BUNDLE_KEY": signer.public.read_text().strip().replace("\n", "\\n"),
        "AUTHZ_OPA_STATE": str(directory / "persisted"),
        "AUTHZ_OPA_TOKEN_SHA256": digest(TOKEN),
    }
    command = [str(binary), "run", "--server", "--addr", f"unix://{socket}", "--authentication=token"]
    command += ["--authorization=basic", "--skip-version-check", "--log-level=error", "--config-file", "sidecar.yaml"]
    log = directory / "opa.log"
    with log.open("w") as errors:
        process = subprocess.Popen([*command, "authz.rego"], cwd=DEPLOY, env=environment, stderr=errors)
    try:
        yield log
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pair(opa_binary: Path, tmp_path: Path) -> Iterator[Pair]:
    """Both, answering."""
    signer = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), signer, 1))
    sockets = Path(tempfile.mkdtemp(prefix="opa-"))
    config = configuration(tmp_path, sockets / "s", source, signer)
    try:
        with (
            sidecar(tmp_path / "state", "--dev", "--config", str(config)) as running,
            opa_beside(opa_binary, tmp_path, sockets / "s", running, signer) as log,
        ):
            wait_for("an OPA that answers", lambda: running.metrics()['authz_engine_state{state="closed"}'], 60)
            yield Pair(running, source, signer, log)
    finally:
        shutil.rmtree(sockets)


class Load:
    """Somebody whom the first revision allows and the second does not, and somebody whom neither allows."""

    def __init__(self, running: Sidecar) -> None:
        self._running = running
        self._end = threading.Event()
        self.statuses: dict[str, Counter[int]] = {"/memory": Counter(), "/admin/config": Counter()}
        self._token = running.token("alice", "user_basic")
        self._threads = [
            threading.Thread(target=self._call, args=(path,)) for path in self.statuses for _ in range(CALLERS // 2)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, path: str) -> None:
        with Client(self._running.decision) as client:
            while not self._end.is_set():
                try:
                    answer = client.send("GET", f"/check/envoy{path}", {"Authorization": f"Bearer {self._token}"})
                except HungUpError:
                    continue
                self.statuses[path][answer.status] += 1

    def stop(self) -> None:
        """End it."""
        self._end.set()
        for thread in self._threads:
            thread.join()


def status(pair: Pair) -> int:
    with Client(pair.running.decision) as client:
        token = pair.running.token("alice", "user_basic")
        return client.send("GET", "/check/envoy/memory", {"Authorization": f"Bearer {token}"}).status


def activated(running: Sidecar, revision: str) -> dict[str, Any]:
    events = get_audit_events(limit=1_000_000, path=running.state)
    return next(each for each in events if each["type"] == "policy.activated" and each["revision"] == revision)


def moment(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["ts"]).timestamp()


def rolled_back(running: Sidecar) -> None:
    body = msgspec.json.encode({"reason": "r2 locks people out"})
    headers = {"Authorization": f"Bearer {HAMMER}", "Content-Type": "application/json"}
    with urlopen(Request(f"{running.admin}/v1/policy/rollback", body, headers), timeout=60) as answer:
        assert answer.status == 200


def test_opa_follows_the_sidecar(pair: Pair) -> None:
    """A bundle that is put in force at the sidecar is OPA's in seconds: no wrong allow, no record of a mixed revision.

    While only one of them has it, the answers are the old revision's or `engine_unavailable`. A rollback goes the same
    way, although OPA's bundle becomes an older one.
    """
    load = Load(pair.running)
    try:
        wait_for("allows", lambda: load.statuses["/memory"][200] > 50)
        put(pair.source, signed(members_of("r2", without="memory:read"), pair.signer, 2))
        wait_for("denials by r2", lambda: load.statuses["/memory"][403] > 50, 60)
    finally:
        load.stop()
    assert set(load.statuses["/memory"]) <= {200, 403, 503}
    assert set(load.statuses["/admin/config"]) <= {403, 503}
    decisions = list(reversed(decisions_in(pair.running.state, 1_000_000)))
    allowed = {(each["revision"], each["reason"]) for each in decisions if each["route"] == "/memory"}
    assert allowed <= {
        ("r1", "scope_granted"),
        ("r2", "scope_missing"),
        ("r1", "engine_unavailable"),
        ("r2", "engine_unavailable"),
    }
    assert {each["engine"] for each in decisions} == {"opa"}
    revisions = [each["revision"] for each in decisions if each["reason"] != "engine_unavailable"]
    assert revisions == sorted(revisions), "once OPA has answered by r2, nobody is answered by r1"
    first = next(each for each in decisions if each["reason"] == "scope_missing" and each["route"] == "/memory")
    waited = moment(first) - moment(activated(pair.running, "r2"))
    assert waited < LONG_POLL_SECONDS - 10, "OPA's request is answered when there is another bundle, and not at its end"
    print(f"\n{len(decisions)} decisions {load.statuses}; by r2 {waited:.2f} s after it was in force at the sidecar")

    rolled_back(pair.running)
    begun = time.monotonic()
    wait_for("allows by r1", lambda: status(pair) == 200, 60)
    print(f"and by r1 again {time.monotonic() - begun:.1f} s after the rollback")
    assert status(pair) == 200
    assert decisions_in(pair.running.state, 1)[0]["revision"] == "r1"
    assert '"level":"error"' not in pair.log.read_text()


def test_the_bundle_is_for_opa_alone(pair: Pair) -> None:
    """Who may ask for decisions does not get it, and OPA's secret opens nothing else."""
    with Client(pair.running.decision) as client:
        secret = {"Authorization": f"Bearer {SECRET}"}
        assert client.send("GET", "/v1/policy/bundle").status == 403
        assert client.send("GET", "/check/envoy/health", secret).status == 403
        fetched = client.send("GET", "/v1/policy/bundle", secret)
        assert (fetched.status, fetched.body) == (200, pair.source.read_bytes())
        again = client.send("GET", "/v1/policy/bundle", {**secret, "If-None-Match": fetched.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
