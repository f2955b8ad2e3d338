"""Faults put into a real process by the kernel's own tracer: each call that the ledger rests on fails, or kills it."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import missing

from .ledger import STREAM, assert_sound, event, writer

pytestmark = pytest.mark.slow

APPENDER = Path(__file__).with_name("appender.py")
EVENTS = 6
SEGMENT_BYTES = 1500
CALLS = ("write", "fdatasync", "fsync", "rename", "openat", "pwrite64", "preadv2")
ERRORS = {"write": "ENOSPC"}


class Rig(NamedTuple):
    """A stream that lived once and has a torn segment behind it, and what the next life does to it undisturbed."""

    before: Path
    acknowledged: list[str]
    segments: tuple[str, ...]
    calls: dict[str, int]


class Life(NamedTuple):
    """One life under the tracer."""

    directory: Path
    exit_code: int
    acknowledged: list[str]
    trace: str


def live(directory: Path, segments: tuple[str, ...], *inject: str) -> Life:
    """Append to the stream. Only calls on the ledger's own files are traced, and so disturbed."""
    stream, trace = directory / STREAM, directory.with_suffix(".trace")
    paths = [stream, *(stream / name for name in ("lock", "durable", *segments))]
    tracer = ["strace", "-f", "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *inject]
    tracer += [word for path in paths for word in ("-P", str(path))]
    appender = [sys.executable, str(APPENDER), str(directory), "100", "1", str(SEGMENT_BYTES), str(EVENTS)]
    done = subprocess.run([*tracer, *appender], capture_output=True, text=True, check=False, timeout=60)
    return Life(directory, done.returncode, done.stdout.split(), trace.read_text())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A life that ended in order, one that was torn while it began, and the calls of the one after."""
    if shutil.which("strace") is None:
        missing("strace")
    root = tmp_path_factory.mktemp("injected")
    before = root / "before"
    first = subprocess.run(
        [sys.executable, str(APPENDER), str(before), "0", "1", str(SEGMENT_BYTES), "3"],
        capture_output=True,
        text=True,
        check=True,
    )
    last = max((before / STREAM).glob("*.jsonl"))
    torn = int(last.stem) + len(last.read_bytes().splitlines())
    (before / STREAM / f"{torn:012d}.jsonl").write_bytes(b'{"prev":"')
    guess = tuple(f"{number:012d}.jsonl" for number in range(1, torn + 3 * EVENTS))
    clean = live(Path(shutil.copytree(before, root / "clean")), guess)
    assert (clean.exit_code, len(clean.acknowledged)) == (0, EVENTS)
    segments = tuple(path.name for path in (clean.directory / STREAM).glob("*.jsonl"))
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", clean.trace, re.MULTILINE))
    assert set(calls) == set(CALLS)
    return Rig(before, first.stdout.split(), segments, dict(calls))


def afterwards(rig: Rig, life: Life) -> None:
    """What the promise is, right after the fault and after one more ordinary life: nothing acknowledged is lost."""
    told = [*rig.acknowledged, *life.acknowledged]
    assert_sound(life.directory, told)

    async def again() -> None:
        ledger = writer(life.directory)
        await ledger.open()
        await ledger.record(event("afterwards"))
        await ledger.close()

    asyncio.run(again())
    assert_sound(life.directory, [*told, "afterwards"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", CALLS)
def test_a_process_killed_at_any_call_loses_nothing_acknowledged(rig: Rig, tmp_path: Path, call: str) -> None:
    """SIGKILL at the first, second, ... last of these calls; the next start recovers by the ordinary path."""
    for number in range(1, rig.calls[call] + 1):
        directory = Path(shutil.copytree(rig.before, tmp_path / f"at-{number}"))
        life = live(directory, rig.segments, "-e", f"inject={call}:signal=SIGKILL:when={number}")
        assert "killed by SIGKILL" in life.trace, number
        afterwards(rig, life)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_any_call_fails_closed(rig: Rig, tmp_path: Path, call: str) -> None:
    """At most the one record in the device is refused, or the start is; the stream goes on or is found whole."""
    outcomes = set()
    for number in range(1, rig.calls[call] + 1):
        directory = Path(shutil.copytree(rig.before, tmp_path / f"at-{number}"))
        error = ERRORS.get(call, "EIO")
        life = live(directory, rig.segments, "-e", f"inject={call}:error={error}:when={number}")
        assert "(INJECTED)" in life.trace, number
        refused = EVENTS - len(life.acknowledged)
        assert refused in {0, 1, EVENTS}, number
        assert refused < EVENTS or life.exit_code == 1, number
        outcomes.add(refused)
        afterwards(rig, life)
    assert call not in {"write", "fdatasync"} or 1 in outcomes
