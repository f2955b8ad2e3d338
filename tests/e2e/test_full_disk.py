"""A sidecar on a disk that gets really full: warned before, 503 then, degraded by command, ended in order."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest

from authz.audit import get_audit_events, verify
from tests.conftest import missing
from tests.processes import Sidecar, close, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MIB = 1 << 20


@contextlib.contextmanager
def small_disk(directory: Path, size_mib: int) -> Iterator[tuple[list[str], Path]]:
    """A small file system in a mount namespace: how to start a program in there, and where to see it from here."""
    directory.mkdir()
    way = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    mount = f"mount -t tmpfs -o size={size_mib}m tmpfs {directory} && echo ready && exec sleep 600"
    holder = subprocess.Popen([*way, "sh", "-c", mount], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            missing("a way to mount a small file system (unshare)")
        enter = ["nsenter", "-t", str(holder.pid), "-m"]
        enter += [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        yield enter, Path(f"/proc/{holder.pid}/root{directory}")
    finally:
        holder.kill()
        holder.wait()
        close(holder.stdout)


def get(url: str, token: str | None = None) -> tuple[int, Any]:
    """Status and JSON body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=20) as answer:
            body = answer.read()
            return answer.status, msgspec.json.decode(body) if body else None
    except HTTPError as error:
        return error.code, msgspec.json.decode(error.read())


def leave(disk: Path, room_bytes: int) -> None:
    """Fill the disk but for so much."""
    with (disk / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(disk).free) > room_bytes:
            filler.write(bytes(min(MIB, free - room_bytes)))


def test_a_disk_that_fills_up_under_a_sidecar(tmp_path: Path) -> None:
    """Unready below the reserve; 503 when full; degraded by command it decides; at the end the ledger tells it all."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        missing("unshare and nsenter")
    with small_disk(tmp_path / "disk", 48) as (enter, disk):
        command = [*enter, sys.executable, "-m", "authz", "serve", "--dev", "--state", str(tmp_path / "disk" / "state")]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        errors = tmp_path / "stderr"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "AUTHZ_AUDIT__DISK_RESERVE_BYTES": str(20 * MIB)},
            )
        try:
            running = Sidecar(process, disk / "state", errors)
            _fills_up(running, disk, tmp_path)
            assert running.stop(signal.SIGTERM) == 0
        finally:
            process.kill()
            process.wait()
            close(process.stdout)
        _is_told(disk)


def _fills_up(running: Sidecar, disk: Path, tmp_path: Path) -> None:
    alice = running.token("alice", "user_basic")
    ask, ready = f"{running.decision}/check/envoy/memory", f"{running.admin}/readyz"
    wait_for("ready", lambda: get(ready)[0] == 200)

    leave(disk, 10 * MIB)
    wait_for("the watermark", lambda: not get(ready)[1]["checks"]["disk"]["ok"])
    assert get(ask, alice)[0] == 200

    leave(disk, 0)
    wait_for("a full disk", lambda: get(ask, alice)[0] == 503)
    assert get(ask, alice)[1]["reason"] == "audit_unavailable"

    secret = tmp_path / "token"
    secret.write_text(running.token("root", "admin"))
    degrade = [sys.executable, "-m", "authz", "audit", "degrade", "--for", "1m", "--reason", "drill"]
    degrade += ["--url", running.admin, "--token-file", str(secret), "--json"]
    said = subprocess.run(degrade, capture_output=True, text=True, check=True)
    assert set(msgspec.json.decode(said.stdout)) == {"until", "by"}
    denied = f"{running.decision}/check/envoy/admin/config"
    assert [get(ask, alice)[0], get(denied, alice)[0]] == [200, 403]
    found = running.metrics()
    unrecorded = [found[f'authz_audit_unrecorded_total{{decision="{name}"}}'] for name in ("allow", "deny")]
    assert (unrecorded, found["authz_audit_degraded"]) == ([1, 1], 1)
    assert "audit_degraded" in running.logs()


def _is_told(disk: Path) -> None:
    """After the end: the command, the right to give it, the gap and the shutdown are in the ledger, which is whole."""
    state = disk / "state"
    assert verify(state).issues == ()
    types = ("admin.access", "audit.degraded", "audit.gap", "system.shutdown", "audit.segment_close")
    told = [
        event
        for event in get_audit_events(limit=1000, path=state)
        if event["type"] in types and event["stream"] == "worker-0"
    ][::-1]
    assert [event["type"] for event in told] == list(types)
    gap = told[2]
    assert (gap["lost"], gap["decisions"]) == (2, {"allow": 1, "deny": 1, "error": 0, "none": 0})
