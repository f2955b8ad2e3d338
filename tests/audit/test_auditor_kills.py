"""kill -9 of `authz audit sign` at each of its system calls that change what lies on disk."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.audit import verify
from authz.audit.published import public_keys, signed_checkpoint
from tests.conftest import missing

from .ledger import STREAM, event
from .published import leaves
from .signed_ledger import append

STRIDE = 1 if int(os.environ.get("AUTHZ_TEST_KILLS", "3")) >= 50 else 23
"""In CI the first and each 23rd call of a kind after it, in `make test-full` every one."""

STREAMS = (STREAM, "auditor")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def sign(state: Path, *tracer: str) -> "subprocess.CompletedProcess[str]":
    """One life of the auditor."""
    command = [*tracer, sys.executable, "-m", "authz", "audit", "sign", "--once", "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def published(state: Path) -> dict[str, int]:
    """The size in each stream's checkpoint, which is signed by a key of the node; 0 while there is none."""
    found = dict.fromkeys(STREAMS, 0)
    for stream in STREAMS:
        path = state / "audit" / "tiles" / stream / "checkpoint"
        if path.exists():
            found[stream] = signed_checkpoint(path.read_bytes(), stream, public_keys(state / "audit")).size
    return found


@pytest.fixture(scope="module", params=["first", "later"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that no auditor has seen and a node without a key; and one of which a part is signed."""
    state: Path = tmp_path_factory.mktemp("original") / "state"
    append(state / "audit", STREAM, [event(f"a{number}") for number in range(300)])
    if request.param == "later":
        assert sign(state).returncode == 0
        append(state / "audit", STREAM, [event(f"b{number}") for number in range(300)])
    return state


def killed(state: Path, call: str, original: Path) -> Iterator[int]:
    """The auditor killed at a later one of these calls each time, over a fresh copy, until it makes no more of them."""
    tool = shutil.which("strace") or missing("strace")
    for number in range(1, 2000, STRIDE):
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(original, state)
        done = sign(
            state, tool, "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}",
            "-e", f"inject={call}:signal=KILL:when={number}",
        )  # fmt: skip
        if done.returncode == 0:
            return
        assert done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
        yield number


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "rename", "pwrite64", "write", "link", "mkdir"])
def test_a_killed_auditor_signs_on(original: Path, tmp_path: Path, call: str) -> None:
    """What it published is sound and never smaller than before; the next run signs everything, and all verifies."""
    state, kills = tmp_path / "state", 0
    before = published(original)
    for number in killed(state, call, original):
        kills += 1
        now = published(state)
        assert [now[each] >= before[each] for each in STREAMS] == [True, True], number
        found = sign(state)
        assert (found.returncode, "audit_alarm" in found.stderr) == (0, False), found.stderr
        after = published(state)
        assert [after[each] >= now[each] for each in STREAMS] == [True, True], number
        assert after == {each: len(leaves(state / "audit" / each)) for each in STREAMS}, number
        assert verify(state).issues == (), number
    assert kills or call in {"link", "mkdir"}
