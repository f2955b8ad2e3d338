"""Real processes: kill -9 between and within requests, the order of system calls, and the command line."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import pytest

from authz.tlog import Checkpoint, consistency_proof, leaf_hash, read_checkpoint, split_note, tree_root
from authz.witness import AddCheckpoint, Store
from tests.conftest import missing

from .logs import ORIGIN, SIGNER, Leaves, Log, cosigned_at
from .processes import WitnessProcess, witness_process

KILLS = int(os.environ.get("AUTHZ_TEST_KILLS", "3"))

pytestmark = pytest.mark.slow


class Branch:
    """A history that goes on from `leaves` in its own way, signed with the log's key."""

    def __init__(self, leaves: Sequence[bytes], name: str) -> None:
        self.base = len(leaves)
        self.leaves = [*leaves, leaf_hash(name.encode())]
        reader = Leaves(self.leaves)
        self.checkpoint = Checkpoint(ORIGIN, len(self.leaves), tree_root(len(self.leaves), reader))
        note = SIGNER.named(ORIGIN).sign(self.checkpoint.text())
        proof = consistency_proof(self.base, len(self.leaves), reader)
        self.body = AddCheckpoint(self.base, tuple(proof), note).write()


class Forger:
    """Has the log's key, and asks with as many histories as it likes, from several threads, for a cosignature."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.cosigned: list[Branch] = []
        self.branches: dict[bytes, Branch] = {}
        self._lock = threading.Lock()

    def press(self, witness: WitnessProcess, leaves: list[bytes]) -> None:
        """Ask from each size with a new history, until the witness dies."""
        while True:
            branch = Branch(leaves, f"{self.chance.random()}")
            with self._lock:
                self.branches[branch.checkpoint.root] = branch
            try:
                status, body = witness.ask(branch.body)
            except (OSError, HTTPException):
                return
            if status == 200:
                with self._lock:
                    self.cosigned.append(branch)
                leaves = branch.leaves
            elif status in {409, 422}:
                leaves = self.known(int(body) if status == 409 else branch.base)
            else:
                raise AssertionError(f"{status}: {body!r}")

    def known(self, size: int) -> list[bytes]:
        """The history of this size that was cosigned; a guess while the answer that says so is on its way."""
        with self._lock:
            of_size = [each for each in self.branches.values() if len(each.leaves) == size]
            known = [each for each in self.cosigned if len(each.leaves) == size]
            return known[0].leaves if known else self.chance.choice(of_size).leaves


def _remembered(state: Path) -> Checkpoint:
    store = Store(state / "witness.db")
    last = store.last(ORIGIN)
    store.close()
    assert last is not None
    return read_checkpoint(split_note(last.note)[0])


@pytest.mark.timeout(60 + 10 * KILLS)
def test_kill_9_never_leads_to_two_histories(tmp_path: Path) -> None:
    """Four clients with four histories; killed at any moment, the witness goes on from the one it told somebody of."""
    seed = random.randrange(2**32)
    forger, state = Forger(seed), tmp_path / "state"
    leaves: list[bytes] = []
    for _ in range(KILLS):
        with witness_process(state) as witness:
            clients = [threading.Thread(target=forger.press, args=(witness, leaves)) for _ in range(4)]
            cosigned, patience = len(forger.cosigned), time.monotonic() + 20
            for each in clients:
                each.start()
            time.sleep(forger.chance.uniform(0.05, 0.5))
            while len(forger.cosigned) == cosigned and time.monotonic() < patience:
                time.sleep(0.01)
            assert witness.stop(signal.SIGKILL) == -signal.SIGKILL
            for each in clients:
                each.join(20)
        leaves = forger.branches[_remembered(state).root].leaves
        for branch in forger.cosigned:
            assert branch.leaves == leaves[: len(branch.leaves)], f"seed {seed}"
    assert len({len(each.leaves) for each in forger.cosigned}) == len(forger.cosigned) >= KILLS


def test_what_is_cosigned_is_on_the_device_before_it_is_said(tmp_path: Path) -> None:
    """Seen from the kernel: the database written and synced, its journal removed and that synced, then the reply."""
    tracer = shutil.which("strace")
    if tracer is None:
        missing("strace")
    trace = tmp_path / "trace"
    calls = "trace=openat,unlink,fsync,fdatasync,write,writev,sendto,pwrite64"
    log = Log()
    with witness_process(
        tmp_path / "state", under=(tracer, "-f", "-s", "32", "-e", calls, "-o", str(trace))
    ) as witness:
        for old, size in ((0, 3), (3, 8), (8, 9)):
            assert witness.ask(log.body(old, size))[0] == 200
        witness.stop()
    steps = "".join(filter(None, map(_step, trace.read_text().splitlines())))
    assert [each[-4:] for each in steps.split("R")[:-1]] == ["WSUS"] * 3


def _step(line: str) -> str:
    """One letter for what matters: a Write to a file, a Sync, the Unlinked journal, the Reply."""
    call = line.split(maxsplit=1)[1]
    if "HTTP/1.1 200" in call:
        return "R"
    if call.startswith("pwrite64("):
        return "W"
    if re.match(r"(?:fdatasync|fsync)\(\d+\) += 0", call):
        return "S"
    return "U" if call.startswith("unlink(") and "-journal" in call else ""


def test_a_fork_after_a_restart_is_refused_and_leaves_evidence(tmp_path: Path) -> None:
    """The witness has forgotten nothing, refuses, and says in its log what it saw, with both roots."""
    log, fork, state = Log(), Log(3), tmp_path / "state"
    with witness_process(state) as witness:
        first = witness.ask(log.body(0, 8))
        assert witness.stop() == 0
    with witness_process(state) as witness:
        assert [witness.ask(fork.body(8, 8)), witness.ask(fork.body(8, 12))[0]] == [(409, b"8\n"), 422]
        second = witness.ask(log.body(8, 12))
        assert cosigned_at(log.note(8), first[1], witness.key) <= cosigned_at(log.note(12), second[1], witness.key)
        witness.stop()
        said = [line for line in witness.logs() if line["event"] == "checkpoint_refused"]
    assert [(each["reason"], each["size"], each["root"], each["cosigned_root"]) for each in said] == [
        ("fork", 8, fork.checkpoint(8).root.hex(), log.checkpoint(8).root.hex()),
        ("inconsistent", 12, fork.checkpoint(12).root.hex(), log.checkpoint(8).root.hex()),
    ]
    kept = Store(state / "witness.db").refusals(ORIGIN)
    assert [each.request for each in kept] == [fork.body(8, 8), fork.body(8, 12)]


def test_two_processes_on_one_memory_are_one_witness(tmp_path: Path) -> None:
    """What one cosigned, the other goes on from."""
    log, state = Log(), tmp_path / "state"
    with witness_process(state) as one, witness_process(state) as other:
        assert one.key == other.key
        assert one.ask(log.body(0, 8))[0] == 200
        assert other.ask(log.body(0, 9)) == (409, b"8\n")
        assert other.ask(log.body(8, 9))[0] == 200
        assert one.ask(Log(3).body(8, 10)) == (409, b"9\n")


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "authz", "audit", "witness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_witness_without_its_memory_is_exit_2(tmp_path: Path) -> None:
    """It says what was lost and what to do; the same for a name, a key of a log and an address that cannot be used."""
    state, key = tmp_path / "state", str(SIGNER.verifier)
    with witness_process(state):
        pass
    (state / "witness.db").unlink()
    given = ["--state", str(state), "--log", key, "--listen", "127.0.0.1:0"]
    lost = _run(*given)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "is not the memory that" in lost.stderr
    elsewhere = str(tmp_path / "other")
    for arguments, said in (
        (["--state", elsewhere, "--log", "nothing", "--listen", "127.0.0.1:0"], "--log: nothing is no verifier key"),
        (["--state", elsewhere, "--log", key, "--listen", "nowhere"], "--listen: 'nowhere' is neither"),
        (["--state", elsewhere, "--log", key, "--listen", "127.0.0.1:0", "--name", "a b"], "--name: "),
        (["--state", elsewhere, "--log", key], "--listen"),
    ):
        refused = _run(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert said in refused.stderr


def test_a_memory_that_cannot_be_read_now_is_exit_1(tmp_path: Path) -> None:
    """Starting again may help: the key is there, and nothing says that the memory is lost."""
    state = tmp_path / "state"
    with witness_process(state):
        pass
    (state / "witness.db").write_bytes(b"no database" * 1000)
    failed = _run("--state", str(state), "--log", str(SIGNER.verifier), "--listen", "127.0.0.1:0")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "the state cannot be read or written: " in failed.stderr
