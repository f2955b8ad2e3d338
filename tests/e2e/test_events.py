"""Reported events across kill -9: each is recorded once, however often and whenever it is sent."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from authz.audit import get_audit_events, verify_audit_integrity
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_KILLS = max(2, int(os.environ.get("AUTHZ_TEST_KILLS", "0")) // 10)
_BATCH = 20


def _batch(number: int) -> list[dict[str, Any]]:
    return [
        {"id": f"{number}-{at}", "type": "memory.accessed", "subject": f"user-{at}", "request_id": f"{number}-{at}"}
        for at in range(_BATCH)
    ]


def _report(connection: HTTPConnection, number: int) -> dict[str, Any]:
    connection.request("POST", "/v1/events", json.dumps(_batch(number)), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    report: dict[str, Any] = json.loads(body)
    return report


def _report_until_it_dies(running: Sidecar, first: int, acknowledged: list[int]) -> None:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        for number in range(first, first + 100_000):
            _report(connection, number)
            acknowledged.append(number)
    except (OSError, HTTPException):
        connection.close()


def test_each_event_is_recorded_once_across_kills(tmp_path: Path) -> None:
    """Killed at any moment and sent everything again, the ledger holds every event once, and is whole."""
    state = tmp_path / "state"
    acknowledged: list[int] = []
    for kill in range(_KILLS):
        told: list[list[int]] = [[] for _ in range(3)]
        with sidecar(state) as running:
            callers = [
                threading.Thread(target=_report_until_it_dies, args=(running, (3 * kill + at) * 1_000_000, each))
                for at, each in enumerate(told)
            ]
            for caller in callers:
                caller.start()
            while not all(told):
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.3))
            running.process.send_signal(signal.SIGKILL)
            for caller in callers:
                caller.join()
        acknowledged += [number for each in told for number in each]
    in_doubt = sorted(number + 1 for number in acknowledged if number + 1 not in acknowledged)

    with sidecar(state) as running:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
        repeated = [_report(connection, number)["duplicate"] for number in acknowledged]
        for number in in_doubt:
            report = _report(connection, number)
            assert report["recorded"] + report["duplicate"] == _BATCH
        connection.close()
        running.stop()

    valid, issues = verify_audit_integrity(state)
    recorded = Counter(
        event["request_id"] for event in get_audit_events(10_000_000, path=state, type="memory.accessed")
    )
    assert (valid, issues) == (True, [])
    assert repeated == [_BATCH] * len(acknowledged)
    assert recorded == Counter(f"{number}-{at}" for number in [*acknowledged, *in_doubt] for at in range(_BATCH))
