"""`authz audit new-stream` beside a real sidecar."""

import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from authz.audit import get_audit_events, verify
from tests.processes import sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def new_stream(state: Path, after: str) -> "subprocess.CompletedProcess[str]":
    """The command, as an operator gives it."""
    command = [sys.executable, "-m", "authz", "audit", "new-stream", "--after", after, "--state", str(state)]
    return subprocess.run([*command, "--reason", "restored", "--json"], capture_output=True, text=True, check=False)


def test_a_stream_is_left_between_two_lives(tmp_path: Path) -> None:
    """Refused while the sidecar runs; afterwards the next life writes to the new stream, and both verify."""
    state = tmp_path / "state"
    with sidecar(state) as running:
        refused = new_stream(state, "worker-0")
        running.stop()
    done = new_stream(state, "worker-0")
    unknown = new_stream(state, "worker-7")
    with sidecar(state) as running, urlopen(f"{running.decision}/check/envoy/health") as answer:
        decision = answer.headers["X-Decision-Id"]

    assert (refused.returncode, "another process" in refused.stderr) == (1, True)
    assert (done.returncode, msgspec.json.decode(done.stdout)["successor"]) == (0, "worker-0.1")
    assert (unknown.returncode, "there is no stream 'worker-7'" in unknown.stderr) == (2, True)
    [event] = [event for event in get_audit_events(path=state, limit=1000) if event["id"] == decision]
    assert event["stream"] == "worker-0.1"
    assert verify(state).issues == ()
