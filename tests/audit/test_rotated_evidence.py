"""Evidence across a rotation of the node's key: whoever knows one of the keys knows what each was good for."""

import hashlib
import json
from pathlib import Path

import pytest

from authz.audit.rotation_record import key_rotated
from authz.audit.segment import ledger_event
from authz.tlog import Checkpoint, Signer, read_checkpoint, split_note

from .packages import ALICE, audit, judged, pack, rewrite, run_verifier, unpacked
from .published import NODE, key_of, publish
from .signed_ledger import NODE_STREAM, accessed, append, make_ledger, roll_up


def _head(state: Path, stream: str) -> Checkpoint:
    return read_checkpoint(split_note((state / "audit" / "tiles" / stream / "checkpoint").read_bytes())[0])


def rotate(state: Path) -> tuple[Signer, Signer]:
    """Let the node's key hand over to a new one, as the auditor records it; returns both."""
    old, new = key_of(state), Signer.generate(NODE)
    heads = {stream: _head(state, stream) for stream in (NODE_STREAM, "main", "other")}
    append(state / "audit", NODE_STREAM, [ledger_event("audit.key_rotated", key_rotated(old, new, heads))])
    (state / "keys" / "audit.key").write_text(new.private_text())
    (state / "keys" / "audit.pub").write_text(f"{new.vkey}\n{old.vkey}\n")
    return old, new


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[Path, Signer, Signer]:
    """The stream `main` goes on under the new key; `other` has ended under the old one."""
    state = make_ledger(tmp_path / "state")
    old, new = rotate(state)
    append(state / "audit", "main", [accessed(99, "h1:k:alice")])
    publish(state, "main")
    roll_up(state, ["main", "other"])
    return state, old, new


def test_either_key_is_enough(rotated: tuple[Path, Signer, Signer], tmp_path: Path) -> None:
    """In a package and in a whole ledger; a stranger's is not."""
    state, old, new = rotated
    package = unpacked(pack(state, tmp_path / "e.zip", *ALICE), tmp_path / "e")
    for key in (old, new):
        assert judged(package, key.vkey)[0] == 0
        assert run_verifier("--ledger", state, "--public-key", key.vkey)[0] == 0
    assert judged(package, Signer.generate(NODE).vkey)[0] > 0
    (package / "key-rotations").unlink()
    assert judged(package, new.vkey)[0] > 0


def test_rotations_are_followed_as_far_as_they_lead(rotated: tuple[Path, Signer, Signer], tmp_path: Path) -> None:
    """From the first key to the third and back; they stand in the package in their order."""
    state, first, second = rotated
    _, third = rotate(state)
    (state / "keys" / "audit.pub").write_text("".join(f"{key.vkey}\n" for key in (third, second, first)))
    append(state / "audit", "main", [accessed(100, "h1:k:alice")])
    publish(state, "main")
    roll_up(state, ["main", "other"])
    package = unpacked(pack(state, tmp_path / "e.zip", *ALICE), tmp_path / "e")
    rotations = (package / "key-rotations").read_bytes().splitlines()
    assert [json.loads(line)["key_id"] for line in rotations] == [second.key_id.hex(), third.key_id.hex()]
    for key in (first, second, third):
        assert judged(package, key.vkey)[0] == 0
        assert run_verifier("--ledger", state, "--public-key", key.vkey)[0] == 0


def test_a_replaced_key_signs_nothing_more(rotated: tuple[Path, Signer, Signer], tmp_path: Path) -> None:
    """Somebody has found the old key, and signs a longer history of the stream that had ended."""
    state, old, new = rotated
    append(state / "audit", "other", [accessed(999, "h1:k:alice")])
    (state / "keys" / "audit.key").write_text(old.private_text())
    publish(state, "other")
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", *ALICE)
    assert (result.exit_code, "is signed by a key that had been replaced before" in result.stderr) == (1, True)
    for key in (old, new):
        code, said = run_verifier("--ledger", state, "--public-key", key.vkey)
        assert (code, "is signed by a key that had been replaced before" in said) == (1, True)


@pytest.mark.parametrize("change", ["size", "key", "one signature", "order"])
def test_a_rotation_that_somebody_made_up_is_found(
    rotated: tuple[Path, Signer, Signer], tmp_path: Path, change: str
) -> None:
    """Both keys signed it."""
    state, old, new = rotated
    package = unpacked(pack(state, tmp_path / "e.zip", *ALICE), tmp_path / "e")
    record = json.loads((package / "key-rotations").read_bytes())
    text, _, signatures = record["note"].rpartition("\n\n")
    match change:
        case "size":
            text = text.replace("other 44", "other 45")
        case "key":
            text = text.replace(new.vkey, Signer.generate(NODE).vkey)
        case "one signature":
            signatures = signatures.splitlines()[0] + "\n"
        case "order":
            text = text.replace(new.vkey, "x").replace(old.vkey, new.vkey).replace("x\n", old.vkey + "\n")
    record["note"] = f"{text}\n\n{signatures}"
    rewrite(package, "key-rotations", json.dumps(record, separators=(",", ":")).encode() + b"\n")
    assert judged(package, old.vkey)[0] > 0


def test_a_package_says_by_which_keys(rotated: tuple[Path, Signer, Signer], tmp_path: Path) -> None:
    """And its digest stands for the rotations too."""
    state, old, new = rotated
    package = unpacked(pack(state, tmp_path / "e.zip", *ALICE), tmp_path / "e")
    said = judged(package, old.vkey)[1]
    ids = f"'{NODE}' (id {old.key_id.hex()}), '{NODE}' (id {new.key_id.hex()})"
    assert f"proven: or by one that the keys themselves handed over to, or were handed over from: {ids}" in said
    digest = hashlib.sha256((package / "key-rotations").read_bytes()).hexdigest()
    assert json.loads((package / "manifest.json").read_bytes())["files"]["key-rotations"] == digest
