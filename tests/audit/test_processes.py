"""Real processes: kill -9 under load, and the order of system calls."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from authz.audit import LedgerWriter
from authz.core import AuditUnavailableError
from tests.conftest import missing

from .ledger import STREAM, SystemClock, assert_sound, ids

APPENDER = Path(__file__).with_name("appender.py")
KILLS = int(os.environ.get("AUTHZ_TEST_KILLS", "6"))
GROUPS = (1, 16, 256)
LIVES_OF_ONE = 10


def _start(directory: Path, first: int, callers: int, segment_bytes: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(APPENDER), str(directory), str(first), str(callers), str(segment_bytes), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _live_and_die(directory: Path, first: int, callers: int, chance: random.Random) -> list[str]:
    """One life under load, ended by SIGKILL at a random moment; returns the ids it had acknowledged."""
    process = _start(directory, first, callers, chance.choice([20_000, 1 << 26]))
    assert process.stdout is not None
    said = [process.stdout.readline()]
    killer = threading.Timer(chance.uniform(0.0, 0.3), process.send_signal, [signal.SIGKILL])
    killer.start()
    said += process.stdout.readlines()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    killer.join()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * KILLS)
@pytest.mark.parametrize("callers", GROUPS)
def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path: Path, callers: int) -> None:
    """After each kill the next life goes on; at the end every acknowledged id is there exactly once.

    As many callers as there are, so large is a group. A ledger is left after a few lives: to read it all after each
    of them takes its time.
    """
    chance = random.Random()
    lives = -(-KILLS // len(GROUPS))
    for first in range(0, lives, LIVES_OF_ONE):
        directory = tmp_path / str(first)
        acknowledged: list[str] = []
        for life in range(first, min(first + LIVES_OF_ONE, lives)):
            acknowledged += _live_and_die(directory, life * 10_000_000, callers, chance)
            assert_sound(directory, acknowledged)
        killed = len(acknowledged)
        acknowledged += _end_in_order(directory, lives * 10_000_000)
        assert_sound(directory, acknowledged)
        assert killed > 0
        shutil.rmtree(directory)


def _end_in_order(directory: Path, first: int) -> list[str]:
    process = _start(directory, first, 2, 1 << 26, "2")
    out, _ = process.communicate()
    assert process.returncode == 0
    return out.decode().split()


@pytest.mark.slow
async def test_a_second_process_is_refused_until_the_first_one_is_gone(tmp_path: Path) -> None:
    """However the first one goes."""
    process = _start(tmp_path, 0, 1, 1 << 26)
    assert process.stdout is not None
    process.stdout.readline()
    second = LedgerWriter(tmp_path, STREAM, clock=SystemClock())
    with pytest.raises(AuditUnavailableError, match=rf"another process \(pid {process.pid}\)"):
        await second.open()
    process.kill()
    process.stdout.read()
    process.stdout.close()
    process.wait()
    third = LedgerWriter(tmp_path, STREAM, clock=SystemClock())
    await third.open()
    await third.close()


@pytest.mark.slow
def test_fdatasync_has_returned_before_the_acknowledgement_is_said(tmp_path: Path) -> None:
    """Seen from the kernel: an id is written to the pipe only after its line was written and synced."""
    if shutil.which("strace") is None:
        missing("strace")
    trace = tmp_path / "trace"
    tracer = ["strace", "-f", "-ttt", "-s", "200000", "-e", "trace=write,writev,fdatasync", "-o", str(trace)]
    command = [sys.executable, str(APPENDER), str(tmp_path), "0", "8", str(1 << 26), "5"]
    done = subprocess.run([*tracer, *command], stdout=subprocess.PIPE, check=True, timeout=60)
    said = done.stdout.decode().split()
    assert set(said) == set(ids(tmp_path))
    assert _acknowledged_after_sync(trace.read_text()) == said


def _acknowledged_after_sync(trace: str) -> list[str]:
    """The ids said, in order; fails at one whose line was not yet synced. One line of the trace is one event."""
    unsynced: set[str] = set()
    synced: set[str] = set()
    said: list[str] = []
    for line in trace.splitlines():
        call = line.split(maxsplit=2)[2]
        if call.startswith("writev(1, "):
            name = re.search(r'"(e\d+)\\n"', call)
            assert name is not None
            assert name[1] in synced
            said.append(name[1])
        elif call.startswith("write("):
            unsynced |= set(re.findall(r'\\"id\\":\\"(e\d+)\\"', call))
        elif "fdatasync" in call and call.endswith("= 0"):  # whole, or resumed: it has returned
            synced |= unsynced
            unsynced = set()
    return said
