"""kill -9 of `authz keys rotate` at each of its system calls that changes what lies on disk."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.audit import new_node_key, rotate_key
from authz.audit.key_file import read_key_file
from tests.conftest import missing

from .ledger import STREAM
from .test_key_rotation import NAME, assert_clean, assert_finished, grow, key_file, rotations, sign

STRIDE = 1 if int(os.environ.get("AUTHZ_TEST_KILLS", "3")) >= 50 else 4
"""In CI each fourth call of a kind, in `make test-full` every one."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed ledger of two streams. Nobody changes it."""
    state = tmp_path_factory.mktemp("original") / "state"
    new_node_key(state, NAME)
    for stream in (STREAM, "other"):
        grow(state, stream)
    sign(state)
    return state


def killed(original: Path, work: Path, call: str, error: str = "signal=KILL") -> Iterator[tuple[Path, int]]:
    """The command killed at the first, then at a later one of these calls, each time over a fresh copy of the ledger.

    Ends when the command makes no such call any more.
    """
    tool = shutil.which("strace") or missing("strace")
    for number in range(1, 1000, STRIDE):
        state = work / f"{number}" / "state"
        shutil.copytree(original, state)
        inject = [tool, "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:{error}:when={number}"]
        command = [*inject, sys.executable, "-m", "authz", "keys", "rotate", "--state", str(state)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
        if done.returncode == 0:
            return
        yield state, done.returncode


def refused(state: Path) -> bool:
    """Whether an auditor that is started now signs nothing."""
    command = [sys.executable, "-m", "authz", "audit", "sign", "--once", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode in {0, 2}, done.stderr
    return done.returncode == 2


@pytest.mark.parametrize("call", ["rename", "fsync", "fdatasync", "write", "pwrite64"])
def test_a_killed_change_of_keys_is_clean_and_finished_by_the_next(original: Path, tmp_path: Path, call: str) -> None:
    """Nobody signs in between; one record, one key, and either public key is enough."""
    [old] = read_key_file(key_file(original))
    kills = 0
    for state, code in killed(original, tmp_path, call):
        assert code in {-signal.SIGKILL, 128 + signal.SIGKILL}
        kills += 1
        assert_clean(state, old.verifier)
        found = read_key_file(key_file(state))
        assert refused(state) == (len(found) == 2)
        assert_clean(state, old.verifier)
        if found == (old,) or found[0].vkey == old.vkey:
            assert_finished(state, rotate_key(state))
        else:
            [one] = rotations(state)
            assert (one.rotation.old, one.rotation.new) == (old.verifier, found[0].verifier)
            assert_clean(state, old.verifier, found[0].verifier)
        shutil.rmtree(state.parent)
    assert kills


@pytest.mark.parametrize(
    ("call", "error"), [("rename", "EIO"), ("fsync", "EIO"), ("fdatasync", "EIO"), ("write", "ENOSPC")]
)
def test_an_error_of_the_disk_is_said_and_the_next_run_finishes(
    original: Path, tmp_path: Path, call: str, error: str
) -> None:
    """Exit 3, or an end by the error itself; never a key in force that no record speaks of."""
    [old] = read_key_file(key_file(original))
    errors = 0
    for state, _ in killed(original, tmp_path, call, f"error={error}"):
        errors += 1
        assert_clean(state, old.verifier)
        found = read_key_file(key_file(state))
        if found[0].vkey == old.vkey:
            assert_finished(state, rotate_key(state))
        else:
            assert len(rotations(state)) == 1
        shutil.rmtree(state.parent)
    assert errors
