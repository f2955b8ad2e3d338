"""The sidecar and its auditor as processes: what is signed when, and what a human is told."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from authz.audit import get_audit_events, verify
from authz.audit.published import published_size
from tests.audit.published import leaves
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STREAM = "worker-0"
AGE = f'authz_audit_checkpoint_age_seconds{{stream="{STREAM}"}}'


def get(url: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urlopen(url, timeout=20) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def decide(running: Sidecar, times: int = 1) -> set[int]:
    """So many decisions about a public route; the statuses they had."""
    return {get(f"{running.decision}/check/envoy/health")[0] for _ in range(times)}


def readiness(running: Sidecar) -> tuple[int, dict[str, dict[str, object]]]:
    """Status and checks."""
    status, body = get(f"{running.admin}/readyz")
    return status, json.loads(body)["checks"]


def signed(state: Path, stream: str = STREAM) -> int:
    return published_size(state / "audit", stream)


def recorded(state: Path, stream: str = STREAM) -> int:
    return len(leaves(state / "audit" / stream))


def auditor_pid(state: Path) -> int:
    """The auditor that told of itself last; 0 when none ever did."""
    with suppress(FileNotFoundError):
        return int(json.loads((state / "auditor" / "status.json").read_text())["pid"])
    return 0


def alive(pid: int) -> bool:
    """Whether it runs; one that ended and whom nobody asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def settled(running: Sidecar) -> None:
    """Return when the auditor has signed all there is."""
    wait_for("a checkpoint", lambda: signed(running.state) == recorded(running.state))
    wait_for("a status", lambda: auditor_pid(running.state))


def test_decisions_are_covered_within_two_seconds(running: Sidecar) -> None:
    """By a checkpoint of their stream and, by the roll-up, of the node; the metrics say the same."""
    settled(running)
    for _ in range(3):
        assert decide(running, 50) == {200}
        asked = recorded(running.state)
        wait_for("covered", lambda size=asked: signed(running.state) >= size, 2)
    wait_for("rolled up", lambda: signed(running.state, "auditor") == recorded(running.state, "auditor"))
    wait_for("metrics", lambda: running.metrics()[f'authz_audit_lag_records{{stream="{STREAM}"}}'] == 0)
    assert verify(running.state).issues == ()
    assert readiness(running)[1]["auditor"]["detail"] in {f"signed {age} s ago; 0 alarms" for age in range(4)}


def test_a_killed_auditor_comes_back(running: Sidecar) -> None:
    """Decisions go on meanwhile, the age of the checkpoint grows, and falls when what came is signed."""
    settled(running)
    first = auditor_pid(running.state)
    os.kill(first, signal.SIGSTOP)  # so that nothing is signed for a known time
    assert decide(running, 20) == {200}
    wait_for("a growing age", lambda: running.metrics().get(AGE, 0) > 3)
    os.kill(first, signal.SIGKILL)
    assert decide(running, 20) == {200}
    wait_for("another auditor", lambda: auditor_pid(running.state) not in {0, first})
    wait_for("a falling age", lambda: running.metrics()[AGE] < 3)
    assert signed(running.state) == recorded(running.state)
    assert running.metrics()["authz_auditor_starts_total"] == 2
    assert running.logs().count("auditor_ended") == 1
    assert verify(running.state).issues == ()


def test_a_killed_sidecar_leaves_nothing_unsigned(running: Sidecar) -> None:
    """Its auditor signs what came last, and ends."""
    settled(running)
    pid = auditor_pid(running.state)
    decide(running, 20)
    running.stop(signal.SIGKILL)
    wait_for("the auditor's end", lambda: not alive(pid))
    assert signed(running.state) == recorded(running.state)
    assert signed(running.state, "auditor") == recorded(running.state, "auditor")
    assert verify(running.state).issues == ()


@pytest.mark.parametrize("group", [False, True])
def test_an_orderly_end_is_signed_to_the_last_record(tmp_path: Path, group: bool) -> None:
    """The shutdown record and the end of the segment too, also when the signal goes to all processes at once."""
    with sidecar(tmp_path / "state") as running:
        settled(running)
        pid = auditor_pid(running.state)
        decide(running, 20)
        if group:
            os.kill(pid, signal.SIGTERM)
            time.sleep(2)
            assert alive(pid)
        assert running.stop(signal.SIGTERM) == 0
        state = running.state
    types = [event["type"] for event in get_audit_events(limit=1000, path=state) if event["stream"] == STREAM]
    assert (alive(pid), types[:2]) == (False, ["audit.segment_close", "system.shutdown"])
    for stream in (STREAM, "auditor"):
        assert signed(state, stream) == recorded(state, stream)
    assert verify(state).issues == ()


def damaged(tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A state directory with a sealed segment, and what changes a byte in its third line."""
    state = tmp_path / "state"
    with sidecar(state) as running:
        settled(running)
        decide(running, 5)
        assert running.stop(signal.SIGTERM) == 0
    [segment] = (state / "audit" / STREAM).glob("*.jsonl")

    def change() -> None:
        lines = segment.read_bytes().split(b"\n")
        lines[2] = lines[2].replace(b'"type":"', b'"tYpe":"', 1)
        segment.chmod(0o600)
        segment.write_bytes(b"\n".join(lines))

    return state, change


def is_told(line: str) -> bool:
    """Whether a line of the log is the alarm about the first segment."""
    return "critical" in line and "audit_damage" in line and "000000000001.jsonl" in line


@pytest.mark.parametrize("on_damage", ["page", "stop"])
def test_a_changed_byte_in_a_sealed_segment(tmp_path: Path, on_damage: str) -> None:
    """Metric, readiness and a critical line of the log name it; decisions go on, or stop where that is configured."""
    state, change = damaged(tmp_path)
    with sidecar(state, environment={"AUTHZ_AUDIT__ON_DAMAGE": on_damage}) as running:
        settled(running)
        assert (running.metrics()["authz_audit_alarms"], decide(running)) == (0, {200})
        change()
        wait_for("an alarm", lambda: running.metrics()["authz_audit_alarms"] > 0)
        status, checks = readiness(running)
        statuses = decide(running, 5)
        wait_for("a critical line", lambda: [line for line in running.logs().splitlines() if is_told(line)])
        size = recorded(state)
        wait_for("signed on", lambda: signed(state) >= size)
    assert "000000000001.jsonl, line 3: " in str(checks["damage"]["detail"])
    stopped = on_damage == "stop"
    assert (status, checks["damage"]["ok"], statuses) == ((503, False, {503}) if stopped else (200, True, {200}))


def test_an_auditor_of_its_own(tmp_path: Path) -> None:
    """`audit.auditor = external`: nothing is signed until `authz audit sign` runs beside; SIGTERM ends it in order."""
    state = tmp_path / "state"
    with sidecar(state, environment={"AUTHZ_AUDIT__AUDITOR": "external"}) as running:
        decide(running, 20)
        time.sleep(2)
        assert (signed(state), auditor_pid(state)) == (0, 0)
        command = [sys.executable, "-m", "authz", "audit", "sign", "--state", str(state)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as beside:
            settled(running)
            second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            wait_for("metrics", lambda: running.metrics().get(AGE, 99) < 3)
            decide(running, 20)
            beside.send_signal(signal.SIGTERM)
            assert beside.wait(timeout=20) == 0
        assert signed(state) == recorded(state)
        assert (second.returncode, "another process" in second.stderr) == (1, True)
        assert decide(running) == {200}
    assert verify(state).issues == ()


def test_readiness_can_depend_on_the_checkpoint(tmp_path: Path) -> None:
    """`audit.checkpoint_max_age_seconds`: not ready while the auditor stands still, and decisions go on."""
    with sidecar(tmp_path / "state", environment={"AUTHZ_AUDIT__CHECKPOINT_MAX_AGE_SECONDS": "4"}) as running:
        settled(running)
        wait_for("ready", lambda: readiness(running)[0] == 200)
        pid = auditor_pid(running.state)
        os.kill(pid, signal.SIGSTOP)
        wait_for("not ready", lambda: readiness(running)[0] == 503)
        assert readiness(running)[1]["auditor"]["ok"] is False
        assert decide(running) == {200}
        os.kill(pid, signal.SIGCONT)
        wait_for("ready again", lambda: readiness(running)[0] == 200)


def test_the_ledger_is_verified_by_itself(tmp_path: Path) -> None:
    """Every so often all of it: an event and a metric each time; what is wrong is an event, a metric and a page."""
    state = tmp_path / "state"
    every = {"AUTHZ_AUDIT__VERIFY_SECONDS": "1", "AUTHZ_AUDIT__SEGMENT_BYTES": "4096", "AUTHZ_AUDIT__COMPRESS": "false"}
    with sidecar(state, environment=every) as running:
        assert decide(running, 30) == {200}
        wait_for("a verification", lambda: running.metrics().get("authz_audit_verified_timestamp_seconds"), 60)
        assert running.metrics()["authz_audit_verification_issues"] == 0
        wait_for("its event", lambda: get_audit_events(1, path=state, type="audit.verified"), 60)
        assert get_audit_events(1, path=state, type="audit.verified")[0]["intact"] is True

        segment = min((state / "audit" / STREAM).glob("*.jsonl"))
        segment.chmod(0o600)
        text = segment.read_bytes()
        segment.write_bytes(text.replace(b'"allow"', b'"ALLOW"', 1))
        wait_for("the damage", lambda: running.metrics()["authz_audit_verification_issues"] >= 1, 60)
        wait_for("an event", lambda: get_audit_events(1, path=state, type="audit.damaged"), 60)
        assert running.metrics()["authz_audit_damage"] >= 1
        assert "chain_broken" in str(readiness(running)[1]["damage"]["detail"])
        wait_for("a line in the log", lambda: '"found_by":"verification"' in running.logs(), 60)
