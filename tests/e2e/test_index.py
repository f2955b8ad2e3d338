"""The index beside a running sidecar: kept by its auditor, killed with it, and catching up by itself."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from authz.audit import get_audit_page, read_status
from tests.processes import Sidecar, sidecar, wait_for

from .test_auditor import auditor_pid, decide, readiness

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LAG = 'authz_audit_consumer_lag_records{consumer="index"}'
FAILING = 'authz_audit_consumer_failing{consumer="index"}'


def indexed(state: Path) -> bool:
    """Whether everything of the decisions' stream is in the index."""
    page = get_audit_page(1000, path=state)
    newest = max(event["seq"] for event in page.events if event["stream"] == "worker-0")
    return page.index.state == "used" and page.index.through.get("worker-0") == newest


def test_the_auditor_keeps_the_index(tmp_path: Path) -> None:
    """It comes through what is decided; killed, the next one goes on from there; removed, it is built again."""
    with sidecar(tmp_path / "state") as running:
        for _ in range(2):
            decide(running, 20)
            wait_for("the index", lambda: indexed(running.state))
            before = wait_for("an auditor", lambda: auditor_pid(running.state))
            os.kill(before, signal.SIGKILL)
            decide(running, 20)
            wait_for("another auditor", partial(is_another, running.state, before))
        wait_for("the index", lambda: indexed(running.state))
        wait_for("the metric", lambda: running.metrics().get(LAG) == 0 and running.metrics()[FAILING] == 0)
        shutil.rmtree(running.state / "index")
        wait_for("the failure", lambda: failing(running), 30)
        wait_for("the index, built again", lambda: indexed(running.state), 30)
        page = get_audit_page(1000, path=running.state)
        assert page.events == get_audit_page(1000, path=running.state, from_segments=True).events
        assert page.index.refused == ()


def is_another(state: Path, before: int) -> bool:
    """Whether an auditor has told of itself that is not this one."""
    return auditor_pid(state) not in (0, before)


def failing(running: Sidecar) -> bool:
    """Whether the status says that the index failed once."""
    decide(running)
    status = read_status(running.state)
    return status is not None and any(each.name == "index" and each.failures for each in status.consumers)


def test_an_index_that_fails_is_said(tmp_path: Path) -> None:
    """By readiness, in words, and by a metric; it makes nobody unready."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "index").write_text("in the way")
    with sidecar(state) as running:
        decide(running)
        wait_for("the metric", lambda: running.metrics().get(FAILING) == 1)
        status, checks = readiness(running)
        assert (status, "index fails: " in str(checks["auditor"]["detail"])) == (200, True)


def test_without_an_index_the_segments_are_read(tmp_path: Path) -> None:
    """audit.index = false."""
    with sidecar(tmp_path / "state", environment={"AUTHZ_AUDIT__INDEX": "false"}) as running:
        decide(running, 3)
        wait_for("a status", lambda: auditor_pid(running.state))
        page = get_audit_page(5, path=running.state)
        assert (page.index.state, (running.state / "index").exists()) == ("none", False)
