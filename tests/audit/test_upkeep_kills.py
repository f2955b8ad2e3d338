"""kill -9 of a compression, an archive or a prune at each of its system calls that changes what lies on disk."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.audit.archive_check import check_archive
from authz.audit.offline import offline_records
from authz.audit.pruned import prunes
from authz.audit.published import public_keys
from authz.audit.segment import first_seq
from tests.conftest import missing

from .days import live, midnight, names, sign
from .ledger import STREAM, lines
from .published import leaves
from .test_prune import assert_provable

STRIDE = 1 if int(os.environ.get("AUTHZ_TEST_KILLS", "3")) >= 50 else 4
"""In CI each fourth call of a kind, in `make test-full` every one."""

PROGRAM = "import sys, pathlib; from authz.audit import compress_sealed; compress_sealed(pathlib.Path(sys.argv[1]))"
COMPRESS = [sys.executable, "-c", PROGRAM]
AUTHZ = [sys.executable, "-m", "authz", "audit"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed ledger of five days. Nobody changes it."""
    state = tmp_path_factory.mktemp("original") / "state"
    live(state, 0, 5)
    sign(state)
    return state


def killed(state: Path, command: list[str], call: str, work: Path, original: Path) -> Iterator[None]:
    """The command killed at the first, then at a later one of these calls, each time over a fresh copy of the ledger.

    Ends when the command makes no such call any more.
    """
    tool = shutil.which("strace") or missing("strace")
    for number in range(1, 1000, STRIDE):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(original, state)
        inject = [tool, "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:signal=KILL:when={number}"]
        done = subprocess.run([*inject, *command], capture_output=True, timeout=60, check=False)
        if done.returncode == 0:
            return
        assert done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
        yield


def finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("call", ["rename", "unlink", "fdatasync", "fsync"])
def test_a_killed_compression_leaves_one_whole_form(original: Path, tmp_path: Path, call: str) -> None:
    """At every step every record can be read; the next run finishes and nothing half stays."""
    state, before = tmp_path / "work" / "state", lines(original / "audit")
    command = [*COMPRESS, str(state / "audit")]
    kills = 0
    for _ in killed(state, command, call, tmp_path / "work", original):
        kills += 1
        assert lines(state / "audit") == before
        finish(command)
        assert lines(state / "audit") == before
        stream = state / "audit" / STREAM
        assert sorted(path.name for path in stream.iterdir() if ".jsonl" in path.name) == [
            *(f"{name}.zst" for name in names(original)[:-2]),
            *names(original)[-2:],
        ]
    assert kills


@pytest.mark.parametrize("call", ["rename", "fdatasync", "fsync", "mkdir"])
def test_a_killed_archive_holds_what_its_manifest_says(original: Path, tmp_path: Path, call: str) -> None:
    """Nothing or something whole; the next run completes it, and it is recorded once."""
    work = tmp_path / "work"
    state, to = work / "state", work / "archive"
    command = [*AUTHZ, "archive", "--state", str(state), "--to", str(to), "--stream", STREAM]
    keys = public_keys(original / "audit")
    kills = 0
    for _ in killed(state, command, call, work, original):
        kills += 1
        if list(to.glob("manifests/*/*.json")):
            assert [one.damage for one in check_archive(to, keys)] == [None]
        finish(command)
        assert [(one.damage, one.segments) for one in check_archive(to, keys)] == [(None, len(names(original)))]
        assert len(list(offline_records(state / "audit", "audit.archived"))) == 1
        assert list(to.rglob("*.part")) == []
    assert kills


@pytest.mark.parametrize("call", ["rename", "unlink", "fdatasync", "fsync"])
def test_a_killed_prune_is_recorded_before_and_finished_after(original: Path, tmp_path: Path, call: str) -> None:
    """What is gone is in a durable record; what is not is whole; the next run finishes; proofs hold throughout."""
    work = tmp_path / "work"
    state = work / "state"
    command = [*AUTHZ, "prune", "--state", str(state), "--before", midnight(3), "--without-archive"]
    found, every = leaves(original / "audit" / STREAM), names(original)
    index = first_seq(every[3]) - 1
    kills = 0
    for _ in killed(state, command, call, work, original):
        kills += 1
        recorded = prunes(state / "audit").get(STREAM, [])
        gone = sorted(set(every) - set(names(state)))
        assert gone == every[: len(gone)]
        if gone:
            assert [one.minimum_index for one in recorded] == [index]
        kept = [path for path in (state / "audit" / STREAM).glob("*.jsonl") if path.name in every]
        assert [path.read_bytes() for path in kept] == [
            (original / "audit" / STREAM / path.name).read_bytes() for path in kept
        ]
        assert_provable(state, found, index, len(found))
        finish(command)
        assert [name for name in names(state) if name in every] == every[3:]
        assert [one.minimum_index for one in prunes(state / "audit")[STREAM]] == [index]
        level0 = state / "audit" / "tiles" / STREAM / "tile" / "0"
        assert min(int(path.name) for path in level0.iterdir() if path.is_file()) == index // 256
        assert_provable(state, found, index, len(found))
    assert kills
