"""A trace of system calls: a decision is on disk before a byte of its answer leaves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from tests.conftest import missing

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_CALL = re.compile(r"^(\d+) +[\d.]+ (write|fdatasync|sendto|sendmsg|send|writev)\((\d+)(.*)$")


def test_the_record_is_durable_before_the_answer_leaves(tmp_path: Path) -> None:
    """For every request: the record is written, fdatasync has returned, and only then the reply is sent."""
    if shutil.which("strace") is None:
        missing("strace")
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-ttt",
        "-s",
        "512",
        "-e",
        "trace=write,writev,fdatasync,sendto,sendmsg",
        "-o",
        str(trace),
    ]
    command += [sys.executable, "-m", "authz", "serve", "--dev", "--state", str(tmp_path / "state")]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        url = msgspec.json.decode(process.stdout.readline())["listening"]["decision"]
        ids = []
        for _ in range(5):
            with urlopen(f"{url}/check/envoy/health", timeout=20) as response:
                ids.append(response.headers["X-Decision-Id"])
        time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)

    assert [_order(trace.read_text().splitlines(), each) for each in ids] == [["record", "durable", "reply"]] * 5


def _order(trace: list[str], decision: str) -> list[str]:
    """What happened for one decision, in the order in which the kernel was done with it."""
    seen: list[str] = []
    ledger = None
    for line in trace:
        if f'"id\\":\\"{decision}' in line or f'\\"id\\":\\"{decision}' in line:
            match = _CALL.match(line)
            assert match is not None, line
            ledger = match.group(3)
            seen.append("record")
        elif ledger is not None and "durable" not in seen and _synced(line, ledger):
            seen.append("durable")
        elif f"X-Decision-Id: {decision}" in line:
            seen.append("reply")
    return seen


def _synced(line: str, ledger: str) -> bool:
    """A finished fdatasync of the ledger's file: not the line that only says that it was begun."""
    return ("fdatasync(" + ledger in line and "= 0" in line) or ("fdatasync resumed" in line and "= 0" in line)
