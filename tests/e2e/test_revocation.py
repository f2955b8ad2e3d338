"""Revoke under load, on real sidecars, by the command; and after kill -9 it still holds."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from authz.audit import get_audit_events, verify_audit_integrity
from authz.client import admin_post
from authz.identity import mint_token
from tests.e2e.client import Client
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENTS = 8


class Caller(threading.Thread):
    """Checks one token as fast as it is answered, and keeps when each check began and what it came to."""

    def __init__(self, running: Sidecar, token: str, stop: threading.Event) -> None:
        super().__init__()
        self.checks: list[tuple[float, int]] = []
        self._running, self._token, self._stopped = running, token, stop

    def run(self) -> None:
        with Client(self._running.decision) as client:
            while not self._stopped.is_set():
                began = time.monotonic()
                status = client.send("GET", "/check/envoy/memory", {"Authorization": f"Bearer {self._token}"}).status
                self.checks.append((began, status))


def revoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command."""
    command = [sys.executable, "-m", "authz", "revoke", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def admin(tmp_path: Path) -> Any:
    """A file with an administrator's token of a sidecar."""

    def written(running: Sidecar) -> str:
        path = tmp_path / f"{running.state.name}.token"
        path.write_text(mint_token(running.state, "root", ("admin",), None))
        return str(path)

    return written


def test_revoked_under_load_the_first_decision_after_the_reply_is_a_deny(tmp_path: Path) -> None:
    """Of all checks that began after the call was answered none is an allow, and another subject's all are."""
    with sidecar(tmp_path / "a") as running:
        stop = threading.Event()
        admin = mint_token(running.state, "root", ("admin",), None)
        alice, bob = (mint_token(running.state, sub, ("user_basic",), None) for sub in ("alice", "bob"))
        callers = [Caller(running, alice, stop) for _ in range(CLIENTS)] + [Caller(running, bob, stop)]
        for each in callers:
            each.start()
        try:
            wait_for("load", lambda: all(len(each.checks) > 20 for each in callers), 60)
            asked = {"subject": "alice", "reason": "stolen phone"}
            asyncio.run(admin_post(running.admin, "/v1/revocations", asked, admin))
            answered = time.monotonic()
            counts = [len(each.checks) for each in callers]
            wait_for(
                "load after", lambda: all(len(e.checks) > n + 20 for e, n in zip(callers, counts, strict=True)), 60
            )
        finally:
            stop.set()
            for each in callers:
                each.join()
        after = [status for each in callers[:CLIENTS] for began, status in each.checks if began > answered]
        before = [each.checks[0][1] for each in callers]
        running.stop(signal.SIGKILL)

    assert (set(before), set(after)) == ({200}, {401})
    assert len(after) >= 20 * CLIENTS
    assert {status for _, status in callers[-1].checks} == {200}
    with sidecar(tmp_path / "a") as again:
        token = mint_token(again.state, "alice", ("user_basic",), None)
        with Client(again.decision) as client:
            assert client.send("GET", "/check/envoy/memory", {"Authorization": f"Bearer {token}"}).status == 401
        assert again.metrics()["authz_revocations"] == 1
        again.stop()
    assert verify_audit_integrity(tmp_path / "a")[0] is True
    (event,) = get_audit_events(path=tmp_path / "a", type="auth.revoked")
    assert (event["kind"], event["done"], event["reason"]) == ("subject", "revoked", "stolen phone")
    assert b"alice" not in b"".join(path.read_bytes() for path in (tmp_path / "a" / "revocations").iterdir())


def test_the_command_tells_on_which_replicas_it_holds(tmp_path: Path, admin: Any) -> None:
    """Two replicas, then one of them away: exit 3 and the one that was missed by name; list and lift."""
    with sidecar(tmp_path / "a") as first:
        token = admin(first)
        both = ("--url", first.admin, "--url", "http://127.0.0.1:1", "--token-file", token, "--json")
        done = revoke("--jti", "t-1", "--reason", "leak", *both)
        found = json.loads(done.stdout)
        every = revoke("--jti", "t-1", "--reason", "leak", "--url", first.admin, "--token-file", token)
        one = ("--url", first.admin, "--token-file", token)
        listed = json.loads(revoke("list", *one, "--json").stdout)[first.admin]["revocations"]
        shown = revoke("list", *one)
        lifted = revoke("lift", listed[0]["id"], *one, "--reason", "found")
        none = revoke("lift", "nothing", *one)
        wrong = revoke("--jti", "t-1", "--reason", "x")

    assert (done.returncode, found["held"], found["of"]) == (3, 1, 2)
    assert "error" in found["replicas"]["http://127.0.0.1:1"]
    assert "missed: http://127.0.0.1:1" in done.stderr
    assert (every.returncode, "holds on 1 of 1 replicas" in every.stdout) == (0, True)
    assert [(each["kind"], each["reason"]) for each in listed] == [("jti", "leak")] * 2
    assert listed[0]["id"] in shown.stdout
    assert (lifted.returncode, none.returncode, wrong.returncode) == (0, 3, 2)
    assert "is lifted on 1 of 1 replicas" in lifted.stdout
