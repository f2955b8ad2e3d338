"""The node's key is replaced: an honest ledger stays intact, and the old key is good for nothing new."""

from pathlib import Path

import msgspec
import pytest

from authz.audit import Verification, verify
from authz.audit.rotation_record import KeyRotated, key_rotated, read_rotation
from authz.core import Event
from authz.tlog import Checkpoint, MalformedError, Signer, read_checkpoint, split_note

from .ledger import STREAM
from .published import NODE, key_of, publish
from .signed_ledger import NODE_STREAM, accessed, append, make_ledger, node_key, roll_up


class Rotated:
    """A state directory whose key was replaced: `old` and `new`, and files with the public key of each."""

    def __init__(self, directory: Path) -> None:
        self.state = make_ledger(directory / "state")
        self.audit = self.state / "audit"
        self.old = key_of(self.state)
        self.new = Signer.generate(NODE)
        append(self.audit, NODE_STREAM, [Event("k1", "audit.key_rotated", self.record())])
        self.use(self.new)
        roll_up(self.state, [])
        self.only_old, self.only_new = directory / "old.pub", directory / "new.pub"
        self.only_old.write_text(f"{self.old.verifier}\n")
        self.only_new.write_text(f"{self.new.verifier}\n")
        (self.state / "keys" / "audit.pub").write_text(f"{self.new.verifier}\n{self.old.verifier}\n")

    def record(self) -> KeyRotated:
        heads = {stream: self.head(stream) for stream in (STREAM, "other", NODE_STREAM)}
        return key_rotated(self.old, self.new, heads)

    def use(self, key: Signer) -> None:
        """The key that signs from now on."""
        (self.state / "keys" / "audit.key").write_text(key.private_text())

    def head(self, stream: str) -> Checkpoint:
        return read_checkpoint(split_note((self.audit / "tiles" / stream / "checkpoint").read_bytes())[0])


@pytest.fixture
def rotated(tmp_path: Path) -> Rotated:
    return Rotated(tmp_path)


def _kinds(found: Verification) -> list[tuple[str, str]]:
    return [(issue.stream, issue.kind) for issue in found.issues]


def test_whoever_knows_one_of_the_keys_knows_both(rotated: Rotated) -> None:
    """Streams that ended before the rotation bear the old signature, those that went on the new one."""
    vkeys = {str(rotated.old.verifier), str(rotated.new.verifier)}
    for given in ([], [rotated.only_old], [rotated.only_new]):
        found = verify(rotated.state, public_keys=given)
        assert (found.issues, set(found.keys.vkeys)) == ((), vkeys)
        assert [(note.stream, note.kind, note.message) for note in found.notes] == [
            (
                NODE_STREAM,
                "key_rotated",
                f"Record 5: the key {rotated.new.key_id.hex()} takes the place of {rotated.old.key_id.hex()}",
            )
        ]
        keys = {report.stream: report.coverage.key for report in found.streams if report.coverage is not None}
        assert keys == {
            NODE_STREAM: str(rotated.new.verifier),
            STREAM: str(rotated.old.verifier),
            "other": str(rotated.old.verifier),
        }


def test_the_old_key_signs_nothing_beyond_what_it_had_signed(rotated: Rotated) -> None:
    """Whoever finds it later can put nothing under its name."""
    append(rotated.audit, STREAM, [accessed(1)])
    rotated.use(rotated.old)
    publish(rotated.state, STREAM)
    for given in ([], [rotated.only_old], [rotated.only_new]):
        found = verify(rotated.state, public_keys=given)
        assert _kinds(found) == [(STREAM, "checkpoint_refused")]
        assert found.issues[0].message == (
            "Not a checkpoint by a key of this ledger: 47 records, by a key that was replaced when it had signed 44"
        )
    rotated.use(rotated.new)
    publish(rotated.state, STREAM)
    assert verify(rotated.state, public_keys=[rotated.only_old]).issues == ()


def test_a_key_after_a_key_after_a_key(rotated: Rotated) -> None:
    """The first one speaks for the last one through those between."""
    third = Signer.generate(NODE)
    heads = {stream: rotated.head(stream) for stream in (STREAM, "other", NODE_STREAM)}
    append(rotated.audit, NODE_STREAM, [Event("k2", "audit.key_rotated", key_rotated(rotated.new, third, heads))])
    rotated.use(third)
    roll_up(rotated.state, [])
    last = rotated.only_new.with_name("third.pub")
    last.write_text(f"{third.verifier}\n")
    for given in (rotated.only_old, rotated.only_new, last):
        assert verify(rotated.state, public_keys=[given]).issues == ()


def test_a_stranger_s_key_is_spoken_for_by_nobody(rotated: Rotated, tmp_path: Path) -> None:
    """A rotation between two other keys adds nothing to those that are known."""
    stranger = tmp_path / "stranger.pub"
    stranger.write_text(f"{Signer.generate(NODE).verifier}\n")
    found = verify(rotated.state, public_keys=[stranger])
    assert {kind for _, kind in _kinds(found)} == {"checkpoint_refused"}
    assert len(found.keys.vkeys) == 1


def test_what_is_no_rotation_is_a_finding(rotated: Rotated) -> None:
    """It takes the signatures of both keys."""
    record = rotated.record()
    half = msgspec.structs.replace(record, note="\n".join(record.note.split("\n")[:-2]) + "\n")
    append(rotated.audit, NODE_STREAM, [Event("k2", "audit.key_rotated", half)])
    found = verify(rotated.state)
    assert [(issue.stream, issue.kind) for issue in found.issues] == [(NODE_STREAM, "key_rotation")]
    assert found.issues[0].message.startswith("Record 11: no rotation of a key: not signed by")


def _line(record: KeyRotated) -> bytes:
    header = {"prev": "0" * 64, "seq": 1, "id": "i", "ts": "t", "type": "audit.key_rotated"}
    return msgspec.json.encode(header | msgspec.to_builtins(record))


def test_a_rotation_is_read_as_it_was_written(rotated: Rotated) -> None:
    """Both keys, and the last tree of each stream."""
    found = read_rotation(_line(rotated.record()))
    assert found is not None
    assert (found.old, found.new) == (rotated.old.verifier, rotated.new.verifier)
    assert found.heads == {stream: rotated.head(stream) for stream in (STREAM, "other", NODE_STREAM)}
    assert read_rotation(_line(rotated.record()).replace(b"audit.key_rotated", b"audit.rollup")) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("authz-key-rotation/1", "authz-key-rotation/2"),
        (f"{STREAM} 44 ", f"{STREAM} 45 "),
        (f"{STREAM} 44 ", f"{STREAM} 044 "),
        (f"{STREAM} 44 ", f"{STREAM}  "),
    ],
)
def test_a_changed_rotation_is_none(rotated: Rotated, old: str, new: str) -> None:
    """Whatever is changed in it."""
    record = rotated.record()
    assert old in record.note
    with pytest.raises(ValueError, match=r".+"):
        read_rotation(_line(KeyRotated(record.key_id, record.note.replace(old, new))))


def test_a_key_of_another_name_cannot_go_on() -> None:
    """A node keeps its name; and a key is not its own successor."""
    old = Signer.generate(NODE)
    with pytest.raises(MalformedError, match="cannot go on"):
        key_rotated(old, Signer.generate("other.example"), {})
    with pytest.raises(ValueError, match="not two keys"):
        read_rotation(_line(key_rotated(old, old, {})))


def test_the_key_of_these_tests_is_the_node_s(rotated: Rotated) -> None:
    """After the rotation the new key is the one in the key file."""
    assert node_key(rotated.state) == str(rotated.new.verifier)
