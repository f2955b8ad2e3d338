"""Verification beside a service that writes, signs, rotates and compresses: it never calls an honest ledger damaged."""

import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from authz.audit import verify
from tests.processes import sidecar

SECONDS = 8.0
QUESTION = (
    b'{"subject":{"type":"user","id":"alice","properties":{"roles":["user_basic"]}},"action":{"name":"GET"},'
    b'"resource":{"type":"route","id":"/memory"}}'
)


@pytest.mark.slow
def test_a_running_service_is_never_called_damaged(tmp_path: Path) -> None:
    """With what was seen a moment ago remembered each time; after its end all of it is covered."""
    state = tmp_path / "state"
    small = {"AUTHZ_AUDIT__SEGMENT_BYTES": "65536"}
    with sidecar(state, environment=small) as service:
        until = time.monotonic() + SECONDS
        callers = [threading.Thread(target=_ask, args=(service.decision, until)) for _ in range(2)]
        for caller in callers:
            caller.start()
        runs = 0
        while time.monotonic() < until:
            assert verify(state, memory=tmp_path / "memory").issues == ()
            runs += 1
            time.sleep(0.02)
        for caller in callers:
            caller.join()
        assert service.stop() == 0
    found = verify(state, memory=tmp_path / "memory", public_keys=[state / "keys" / "audit.pub"])
    assert (found.issues, found.notes) == ((), ())
    assert runs > 10
    assert len(list((state / "audit" / "worker-0").glob("*.jsonl*"))) > 2


def _ask(decision: str, until: float) -> None:
    request = Request(f"{decision}/access/v1/evaluation", QUESTION, {"Content-Type": "application/json"})
    while time.monotonic() < until:
        with urlopen(request, timeout=30) as answer:
            answer.read()
