"""`authz audit prove` and `verify-proof`: one event, one file, one public key."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.evidence import verify as verify_py
from authz.audit.evidence.checking import check_proof
from authz.cli import program
from authz.tlog import CosignerKey, Signer, TlogError, VerifierKey
from tests.properties import many

from .published import publish
from .signed_ledger import WITNESS, WITNESSED_AT, accessed, append, make_ledger, node_key

STRANGER = str(Signer.generate("ledger.example/node").verifier)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that no test writes to."""
    return make_ledger(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def state(signed: Path, tmp_path: Path) -> Path:
    """A ledger of the test's own."""
    return Path(shutil.copytree(signed, tmp_path / "state"))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["audit", *(str(argument) for argument in arguments)])


def _prove(state: Path, event: str, *options: object) -> Path:
    path = state / "proof"
    result = _run("prove", event, "--state", state, "-o", path, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return path


def _segment_with(state: Path, text: bytes) -> Path:
    return next(path for path in (state / "audit" / "main").glob("*.jsonl") if text in path.read_bytes())


def test_a_third_party_checks_an_event_with_the_public_key_alone(state: Path, tmp_path: Path) -> None:
    """The ledger is gone; the proof carries the record."""
    proof, key = _prove(state, "e13").read_bytes(), node_key(state)
    record = next(
        line for line in _segment_with(state, b'"id":"e13"').read_bytes().split(b"\n") if b'"id":"e13"' in line
    )
    shutil.rmtree(state)
    (tmp_path / "e13.tlog-proof").write_bytes(proof)
    result = _run("verify-proof", tmp_path / "e13.tlog-proof", "--public-key", key, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "holds": True,
        "origin": "ledger.example/node/main",
        "seq": 15,
        "size": 44,
        "signed_by": str(VerifierKey.read(key).named("ledger.example/node/main")),
        "witnessed": {},
        "record": record.decode(),
    }


def test_an_event_is_named_by_id_or_by_place(state: Path) -> None:
    """Both give the same proof."""
    assert _prove(state, "e1013").read_bytes() == _prove(state, "other/15").read_bytes()


def test_the_record_can_be_handed_over_beside_the_proof(state: Path) -> None:
    """Its exact bytes; the proof alone then says nothing."""
    record = state / "record"
    proof = _prove(state, "e13", "--record", record, "--without-record")
    asked = ("verify-proof", proof, "--public-key", node_key(state))
    assert (alone := _run(*asked)).exit_code == 1
    assert alone.stderr == "the proof comes without its record: it has to be given\n"
    assert _run(*asked, "--record", record).exit_code == 0
    record.write_bytes(record.read_bytes() + b"\n")
    assert _run(*asked, "--record", record).exit_code == 0
    record.write_bytes(record.read_bytes().replace(b"e13", b"e14"))
    assert _run(*asked, "--record", record).exit_code == 1


def test_a_witness_is_said_with_its_time(state: Path) -> None:
    """And one that did not see the checkpoint makes the answer no."""
    proof = _prove(state, "auditor/2")
    asked = ("verify-proof", proof, "--public-key", node_key(state), "--json", "--witness")
    assert json.loads(_run(*asked, WITNESS.vkey).stdout)["witnessed"] == {WITNESS.name: WITNESSED_AT}
    stranger = CosignerKey(WITNESS.name, Signer.generate("x").public_key)
    assert _run(*asked, stranger).exit_code == 1


def test_an_event_that_no_checkpoint_covers_is_exit_3(state: Path) -> None:
    """With a sentence that says what to do."""
    append(state / "audit", "main", [accessed(99)])
    result = _run("prove", "e99", "--state", state)
    assert result.exit_code == 3
    assert result.stderr == (
        "could not find out: main/46 is not under a checkpoint yet: the newest one covers 44 records. "
        "The auditor signs about once a second; try again\n"
    )
    publish(state, "main")
    assert _prove(state, "e99").exists()


def test_a_ledger_without_checkpoints_is_exit_3(state: Path) -> None:
    """Whoever runs no auditor is told so."""
    shutil.rmtree(state / "audit" / "tiles")
    result = _run("prove", "e13", "--state", state)
    assert (result.exit_code, "is the auditor running?" in result.stderr) == (3, True)


@pytest.mark.parametrize("event", ["e77", "main/45", "main/0", "nothing/1"])
def test_an_event_that_is_not_there_is_exit_3(state: Path, event: str) -> None:
    """Nothing can be proven of it, nor against it."""
    result = _run("prove", event, "--state", state)
    assert (result.exit_code, "there is no" in result.stderr) == (3, True)


@pytest.mark.parametrize("spoil", ["missing", "cut", "altered"])
def test_tiles_are_computed_from_the_segments_where_they_fail(state: Path, spoil: str) -> None:
    """The proof is the same: the tree is what was signed, tiles are only a way to get at it."""
    before = _prove(state, "e13").read_bytes()
    for tile in (state / "audit" / "tiles" / "main" / "tile" / "0").rglob("*"):
        if not tile.is_file():
            continue
        data = tile.read_bytes()
        if spoil == "missing":
            tile.unlink()
        else:
            tile.write_bytes(data[:-1] if spoil == "cut" else bytes(len(data)))
    assert _prove(state, "e13").read_bytes() == before


def test_a_record_that_was_changed_has_no_proof(state: Path) -> None:
    """Exit 1, and nothing is written."""
    segment = _segment_with(state, b'"id":"e13"')
    segment.chmod(0o600)
    data = segment.read_bytes()
    at = data.index(b"h1:k:s", data.index(b'"id":"e13"'))
    segment.write_bytes(data[:at] + b"h1:k:t" + data[at + 6 :])
    result = _run("prove", "e13", "--state", state, "-o", state / "proof")
    assert result.exit_code == 1
    assert result.stderr == "main/15 is not the record that was signed; `authz audit verify` says more\n"
    assert not (state / "proof").exists()


def test_a_checkpoint_that_another_key_signed_proves_nothing(state: Path) -> None:
    """The state directory's own public keys are asked before a proof is made."""
    (state / "keys" / "audit.pub").write_text(STRANGER + "\n")
    assert _run("prove", "e13", "--state", state, "-o", state / "proof").exit_code == 1


def test_without_a_public_key_the_proof_is_made_and_the_doubt_is_said(state: Path) -> None:
    """It may lie elsewhere; whoever checks the proof needs it anyway."""
    key = node_key(state)
    (state / "keys" / "audit.pub").unlink()
    result = _run("prove", "e13", "--state", state, "-o", state / "proof")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: there is no public key in the state directory")
    assert _run("verify-proof", state / "proof", "--public-key", key).exit_code == 0


@pytest.mark.parametrize("name", ["ledger.example/node", "ledger.example/node/main"])
def test_the_key_of_the_node_covers_its_streams(state: Path, name: str) -> None:
    """Under the node's name or the stream's own; under another name it is another key."""
    proof = _prove(state, "e13").read_bytes()
    key = VerifierKey.read(node_key(state))
    assert check_proof(proof, None, [key.named(name)]).header.id == "e13"
    for other in ("ledger.example", "ledger.example/nod", "ledger.example/node/other"):
        with pytest.raises(TlogError):
            check_proof(proof, None, [key.named(other)])


def test_a_stranger_s_key_is_exit_1(state: Path) -> None:
    """The same name, other bytes."""
    proof = _prove(state, "e13")
    assert _run("verify-proof", proof, "--public-key", STRANGER).exit_code == 1


@pytest.mark.parametrize("given_key", ["nonsense", "a+b+c"])
def test_what_is_no_key_is_exit_2(state: Path, given_key: str) -> None:
    """As every question put wrongly."""
    assert _run("verify-proof", _prove(state, "e13"), "--public-key", given_key).exit_code == 2


def test_the_one_file_verifier_says_the_same(state: Path) -> None:
    """As a process of its own, without any package."""
    proof, key = _prove(state, "e13"), state / "keys" / "audit.pub"
    command = [sys.executable, "-I", "-S", verify_py.__file__, "--proof", str(proof), "--public-key"]
    good = subprocess.run([*command, str(key)], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr, good.stdout.splitlines()[-1]) == (0, "", "nothing is wrong")
    assert '"id":"e13"' in good.stdout
    bad = subprocess.run([*command, STRANGER], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stderr) == (1, "")


@many
@given(data=st.data())
def test_no_changed_byte_goes_unseen(signed: Path, data: st.DataObject) -> None:
    """Anywhere in the file; both verifiers refuse it."""
    proof = _PROOFS.setdefault(signed, _prove(signed, "main/15").read_bytes())
    at = data.draw(st.integers(0, len(proof) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda new: new != proof[at]))
    spoilt = proof[:at] + bytes([byte]) + proof[at + 1 :]
    keys = [VerifierKey.read(node_key(signed))]
    with pytest.raises(TlogError):
        check_proof(spoilt, None, keys)
    with pytest.raises((verify_py.WrongError, verify_py.UnknownError)):
        verify_py.check_proof(spoilt, None, verify_py.read_keys(node_key(signed).encode()))


_PROOFS: dict[Path, bytes] = {}
