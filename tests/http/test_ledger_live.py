"""A running sidecar with its own auditor: its logs over HTTP, and a change of the key that it signs with."""

import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from authz.audit import node_keys, verify
from authz.tlog import (
    CompactRange,
    Note,
    TileReader,
    VerifierKey,
    leaf_hash,
    open_note,
    read_checkpoint,
    read_entry_bundle,
    tiles_for,
    tree_root,
)
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]


class Reader:
    """Somebody with a token and nothing else."""

    def __init__(self, running: Sidecar) -> None:
        self.running = running
        self.token = running.token("root", "admin_readonly")

    def get(self, path: str) -> bytes:
        request = Request(f"{self.running.admin}/v1/audit/{path}", headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(request, timeout=10) as response:
            return bytes(response.read())

    def signed(self, stream: str, *keys: VerifierKey) -> Note:
        note = self.get(f"log/{stream}/checkpoint")
        origin = f"{keys[0].name}/{stream}"
        return open_note(note, [key.named(origin) for key in keys])


def ask(running: Sidecar, times: int) -> None:
    token = running.token("alice", "user_basic")
    for number in range(times):
        request = Request(
            f"{running.decision}/check/envoy/memory/{number}", headers={"Authorization": f"Bearer {token}"}
        )
        with urlopen(request, timeout=10):
            pass


def covered(reader: Reader, key: VerifierKey, records: int) -> Note:
    """The checkpoint, once it covers so many records and this key signed it."""

    def found() -> Note | None:
        try:
            note = reader.signed("worker-0", key)
        except Exception:
            return None
        return note if read_checkpoint(note.text).size >= records else None

    note: Note = wait_for("a checkpoint", found)
    return note


def public_keys(state: Path) -> list[VerifierKey]:
    return [VerifierKey.read(key.vkey) for key in node_keys(state)]


def rotate(state: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "authz", "keys", "rotate", "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def check_log(reader: Reader, note: Note) -> None:
    """Tiles and entries both make the tree that was signed."""
    size, root = read_checkpoint(note.text)[1:3]
    assert tree_root(size, TileReader(lambda path: reader.get(f"log/worker-0/{path}"), size)) == root
    tree = CompactRange()
    for tile in tiles_for(size):
        if tile.level == 0:
            path = str(tile).replace("tile/0/", "tile/entries/")
            tree.extend([leaf_hash(entry) for entry in read_entry_bundle(reader.get(f"log/worker-0/{path}"))])
    assert (tree.size, tree.root()) == (size, root)


def test_the_key_is_changed_under_a_ledger_in_use(tmp_path: Path) -> None:
    """Not while the service runs; afterwards it signs with the new key, and the log is one, whichever key one knows."""
    state = tmp_path / "state"
    with sidecar(state) as running:
        ask(running, 270)
        [old] = public_keys(state)
        check_log(Reader(running), covered(Reader(running), old, 270))
        refused = rotate(state)
        assert (refused.returncode, "where `authz serve` runs it, stop that" in refused.stderr) == (3, True)
        running.stop()
    done = rotate(state)
    assert done.returncode == 0, done.stderr
    new, kept = public_keys(state)
    assert (kept, done.stdout.splitlines()[1]) == (old, str(new))
    with sidecar(state) as running:
        ask(running, 10)
        check_log(Reader(running), covered(Reader(running), new, 285))
        [signature] = Reader(running).signed("auditor", new, old).signatures
        assert signature.key_id == new.named(f"{new.name}/auditor").key_id
        running.stop()
    for key in (old, new):
        given = tmp_path / "given.pub"
        given.write_text(f"{key}\n")
        assert verify(state, public_keys=[given]).issues == ()
