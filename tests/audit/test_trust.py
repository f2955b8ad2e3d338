"""Which keys a ledger is held to, and checkpoints that are kept where the ledger is not."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.audit import Verification, verify
from authz.cli import program
from authz.core import BadRequestError, Event
from authz.tlog import Checkpoint, Signer, write_base64

from . import attacks
from .ledger import STREAM
from .published import NODE, key_of, publish
from .signed_ledger import NODE_STREAM, accessed, append, make_ledger, node_key, roll_up


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ledger(tmp_path_factory.mktemp("made") / "state")


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A state directory with two signed streams of 44 records, and the node's roll-up of them."""
    shutil.copytree(made, tmp_path / "state")
    for path in tmp_path.glob("state/audit/*/*.jsonl"):
        path.chmod(0o600)
    return tmp_path / "state"


def _kinds(found: Verification) -> list[tuple[str, str]]:
    return [(issue.stream, issue.kind) for issue in found.issues]


def _notes(found: Verification) -> list[tuple[str, str]]:
    return [(note.stream, note.kind) for note in found.notes]


def _checkpoint(state: Path, stream: str = STREAM) -> Path:
    return state / "audit" / "tiles" / stream / "checkpoint"


def _kept(state: Path, to: Path, stream: str = STREAM) -> Path:
    shutil.copy(_checkpoint(state, stream), to)
    return to


def test_the_keys_are_those_given_else_beside_else_self_declared(state: Path, tmp_path: Path) -> None:
    """And the report says which of these it was."""
    beside = state / "keys" / "audit.pub"
    inside = state / "audit" / "audit.pub"
    given = tmp_path / "given.pub"
    for path in (inside, given):
        shutil.copy(beside, path)
    vkeys = (node_key(state),)
    seen = []
    for keys in ([given], [], []):
        found = verify(state, public_keys=keys)
        assert (found.issues, found.keys.vkeys) == ((), vkeys)
        seen.append((found.keys.source, found.keys.where))
        if not keys:
            beside.unlink(missing_ok=True)
    assert seen == [("given", str(given)), ("beside", str(beside)), ("self_declared", str(inside))]


def test_without_a_key_a_checkpoint_is_compared_and_not_believed(state: Path) -> None:
    """Nothing is covered, and a ledger that is not the checkpoint's is found all the same."""
    (state / "keys" / "audit.pub").unlink()
    found = verify(state)
    assert (found.issues, found.keys.source) == ((), "none")
    assert [report.covered_seq for report in found.streams] == [0, 0, 0]
    assert (STREAM, "checkpoint_unverified") in _notes(found)
    path = state / "audit" / STREAM / "000000000023.jsonl"
    attacks.edit(path, lambda lines: lines[:-1])
    assert _kinds(verify(state)) == [(STREAM, "stream_cut")]


def test_a_key_file_that_cannot_be_used_is_as_none(state: Path) -> None:
    """What is wrong with it is said where the keys are told."""
    path = state / "keys" / "audit.pub"
    path.write_text("nonsense\n")
    found = verify(state)
    assert found.keys.source == "none"
    assert found.keys.where.startswith(f"{path} cannot be used: verifier key: ")


@pytest.mark.parametrize("text", ["", "nonsense\n", "\xff"])
def test_a_given_key_file_that_is_none_is_refused(state: Path, tmp_path: Path, text: str) -> None:
    """As a question put wrongly: nobody is left to believe that a key was used."""
    path = tmp_path / "given.pub"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BadRequestError, match="--public-key"):
        verify(state, public_keys=[path])
    with pytest.raises(BadRequestError, match="--public-key"):
        verify(state, public_keys=[tmp_path / "nowhere"])


def test_several_keys_may_be_given(state: Path, tmp_path: Path) -> None:
    """In one file or in several: one that signed suffices."""
    other = Signer.generate(NODE)
    both = tmp_path / "both.pub"
    both.write_text(f"{other.verifier}\n{node_key(state)}\n")
    alone = tmp_path / "alone.pub"
    alone.write_text(f"{other.verifier}\n")
    assert verify(state, public_keys=[both]).issues == ()
    assert verify(state, public_keys=[alone, state / "keys" / "audit.pub"]).issues == ()
    assert {kind for _, kind in _kinds(verify(state, public_keys=[alone]))} == {"checkpoint_refused"}


def test_a_checkpoint_of_another_stream_is_refused(state: Path) -> None:
    """Its signature holds, and it is not of this stream."""
    shutil.copy(_checkpoint(state, "other"), _checkpoint(state))
    assert _kinds(verify(state)) == [(STREAM, "checkpoint_refused")]


def test_a_signature_under_one_name_is_not_one_for_another(state: Path) -> None:
    """The name in the signature line and the origin are one."""
    signer = key_of(state).named(f"{NODE}/{STREAM}")
    _checkpoint(state).write_bytes(signer.sign(Checkpoint(f"{NODE}/other", 1, bytes(32)).text()))
    assert _kinds(verify(state)) == [(STREAM, "checkpoint_refused")]


def test_a_ledger_is_held_to_a_checkpoint_that_is_handed_over(state: Path, tmp_path: Path) -> None:
    """It may have grown since; it may not have shrunk."""
    kept = _kept(state, tmp_path / "kept")
    append(state / "audit", STREAM, [accessed(1)])
    publish(state, STREAM)
    assert verify(state, since=[kept]).issues == ()
    shutil.rmtree(state / "audit" / STREAM)
    shutil.rmtree(state / "audit" / "tiles" / STREAM)
    shutil.rmtree(state / "audit" / NODE_STREAM)
    shutil.rmtree(state / "audit" / "tiles" / NODE_STREAM)
    assert verify(state).intact
    found = verify(state, since=[kept])
    assert [(issue.stream, issue.kind, issue.message) for issue in found.issues] == [
        (STREAM, "stream_missing", f"There is no such stream, but {kept} speaks of 44 records")
    ]


def test_a_checkpoint_by_an_unknown_key_is_compared_and_noted(state: Path, tmp_path: Path) -> None:
    """Whoever kept it knows what it is; that its signature is not known is said."""
    found = verify(state, since=[_signed_by_another(state, tmp_path / "kept")])
    assert (_kinds(found), _notes(found)) == ([(STREAM, "root_mismatch")], [(STREAM, "checkpoint_unverified")])


def _signed_by_another(state: Path, to: Path) -> Path:
    signer = Signer.generate(f"{NODE}/{STREAM}")
    to.write_bytes(signer.sign(Checkpoint(signer.name, 44, bytes(32)).text()))
    return to


def test_a_checkpoint_of_another_node_is_a_finding(state: Path, tmp_path: Path) -> None:
    """Whoever hands it over says that this is the ledger it is of, and the ledger says that it is not."""
    signer = Signer.generate(f"elsewhere.example/{STREAM}")
    kept = tmp_path / "kept"
    kept.write_bytes(signer.sign(Checkpoint(signer.name, 1, bytes(32)).text()))
    assert (STREAM, "checkpoint_foreign") in _kinds(verify(state, since=[kept]))


def test_what_is_handed_over_and_is_no_checkpoint_is_refused(state: Path, tmp_path: Path) -> None:
    """As is one of another stream than the one that is verified by itself."""
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense\n")
    for path in (nonsense, tmp_path / "nowhere"):
        with pytest.raises(BadRequestError, match=f"--since {path}"):
            verify(state, since=[path])
    with pytest.raises(BadRequestError, match="verify the whole ledger"):
        verify(state / "audit" / STREAM, since=[_checkpoint(state, "other")])


def _remembered(memory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in memory.glob("*/*")}


def test_the_newest_checkpoints_of_intact_streams_are_remembered(state: Path, tmp_path: Path) -> None:
    """Of a damaged one what was seen before stays; an older one than was seen does not take its place."""
    memory = tmp_path / "memory"
    older = _kept(state, tmp_path / "older")
    append(state / "audit", STREAM, [accessed(1)])
    publish(state, STREAM)
    roll_up(state, [STREAM, "other"])
    assert verify(state, memory=memory).intact
    seen = {
        f"{stream}.checkpoint": _checkpoint(state, stream).read_bytes() for stream in (STREAM, "other", NODE_STREAM)
    }
    assert _remembered(memory) == seen
    shutil.copy(older, _checkpoint(state))
    assert verify(state, memory=memory).intact
    assert _remembered(memory) == seen
    append(state / "audit", "other", [accessed(2)])
    publish(state, "other")
    attacks.edit(state / "audit" / "other" / "000000000001.jsonl", attacks.changed(4))
    assert not verify(state, memory=memory).intact
    assert _remembered(memory) == seen


def test_nothing_is_remembered_that_nobody_is_known_to_have_signed(state: Path, tmp_path: Path) -> None:
    """Without a key, anybody may have made the checkpoints up."""
    (state / "keys" / "audit.pub").unlink()
    assert verify(state, memory=tmp_path / "memory").intact
    assert _remembered(tmp_path / "memory") == {}


def test_what_was_remembered_is_found_without_a_key_too(state: Path, tmp_path: Path) -> None:
    """By the name that the checkpoints beside the ledger bear."""
    memory = tmp_path / "memory"
    assert verify(state, memory=memory).intact
    (state / "keys" / "audit.pub").unlink()
    attacks.edit(state / "audit" / STREAM / "000000000023.jsonl", lambda lines: lines[:-1])
    publish(state, STREAM)
    messages = [issue.message for issue in verify(state, memory=memory).issues if issue.stream == STREAM]
    assert any("that was remembered" in message for message in messages)


def test_one_stream_by_itself_is_held_to_its_own_memory(state: Path, tmp_path: Path) -> None:
    """The others are not looked at and not missed."""
    memory = tmp_path / "memory"
    assert verify(state, memory=memory).intact
    shutil.rmtree(state / "audit" / "other")
    assert verify(state / "audit" / STREAM, memory=memory).intact
    assert ("other", "stream_missing") in _kinds(verify(state, memory=memory))


def test_a_memory_that_fails_is_a_note(state: Path, tmp_path: Path) -> None:
    """One that cannot be written, and one that cannot be read, which is left as it is."""
    memory = tmp_path / "memory"
    memory.write_text("a file")
    found = verify(state, memory=memory)
    assert (found.issues, _notes(found)) == ((), [("", "not_remembered")])
    memory.unlink()
    assert verify(state, memory=memory).notes == ()
    [spoilt] = memory.glob(f"*/{STREAM}.checkpoint")
    spoilt.write_text("nonsense")
    found = verify(state, memory=memory)
    assert (found.issues, _notes(found)) == ((), [("", "not_remembered")])
    assert spoilt.read_text() == "nonsense"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["audit", "verify", *(str(argument) for argument in arguments)])


def test_the_command_says_integrity_and_completeness_apart(state: Path) -> None:
    """What is there, how far that is known, by which checkpoint and key, and where the key is from."""
    append(state / "audit", STREAM, [accessed(1)])
    attacks.edit(state / "audit" / "other" / "000000000023.jsonl", lambda lines: lines[:-1])
    result = _run(state)
    assert result.exit_code == 1
    text = result.stdout.splitlines()
    key_id, beside = key_of(state).key_id.hex(), state / "keys" / "audit.pub"
    main = text.index(next(line for line in text if line.startswith("main: 47 records")))
    assert text[main + 1 : main + 3] == [
        "  integrity     what is there is as it was recorded",
        f"  completeness  records up to 44 are covered (checkpoint {_checkpoint(state)}, key {NODE}+{key_id})",
    ]
    assert "note    main/000000000045.jsonl:3" in text[main + 3]
    assert "Records 45 to 47 are not covered by a checkpoint yet" in text[main + 3]
    other = text.index(next(line for line in text if line.startswith("other: 43 records")))
    assert text[other + 2].startswith("  completeness  RECORDS ARE MISSING; no checkpoint")
    assert text[-3:] == [
        f"keys: beside the ledger, where whoever can write to it may be able to replace them: {beside}",
        f"  {node_key(state)}",
        "NOT intact: 1 findings",
    ]


def test_a_terminal_sees_no_control_characters(state: Path) -> None:
    """Whoever can write to the ledger cannot write to the screen of whoever verifies it."""
    entry = {"stream": "\x1b[2Jgone", "origin": "o", "size": 1, "root": write_base64(bytes(32))}
    append(state / "audit", NODE_STREAM, [Event("r2", "audit.rollup", {"streams": [entry]})])
    result = _run(state)
    assert result.exit_code == 1
    assert "\N{REPLACEMENT CHARACTER}[2Jgone/:0 (byte 0)  stream_missing" in result.stdout
    assert "\x1b" not in result.stdout


def test_the_command_remembers_unless_told_not_to(state: Path, tmp_path: Path) -> None:
    """Under XDG_STATE_HOME; the next run holds the ledger to it, and with --no-remember neither reads nor writes it."""
    memory = tmp_path / "xdg-state" / "authz" / "checkpoints"
    assert _run(state, "--no-remember").exit_code == 0
    assert not memory.exists()
    assert _run(state).exit_code == 0
    assert len(_remembered(memory)) == 3
    for stream in (STREAM, "other", NODE_STREAM):
        shutil.rmtree(state / "audit" / "tiles" / stream)
    shutil.rmtree(state / "audit" / NODE_STREAM)
    attacks.edit(state / "audit" / STREAM / "000000000023.jsonl", lambda lines: lines[:-1])
    assert _run(state, "--no-remember").exit_code == 0
    assert _run(state).exit_code == 1


def test_the_command_takes_keys_and_checkpoints(state: Path, tmp_path: Path) -> None:
    """Each of them again and again; the answer is in the JSON as in the text."""
    kept = [_kept(state, tmp_path / f"{stream}.kept", stream) for stream in (STREAM, NODE_STREAM)]
    key = tmp_path / "node.pub"
    key.write_text(f"{node_key(state)}\n")
    result = _run(state, "--public-key", key, "--since", kept[0], "--since", kept[1], "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["intact"], found["issues"], found["keys"]["source"]) == (True, [], "given")
    assert [report["covered_seq"] for report in found["streams"]] == [3, 44, 44]
    assert [(report["intact"], report["complete"]) for report in found["streams"]] == [(True, True)] * 3
    assert _run(state, "--public-key", kept[0]).exit_code == 2
    assert _run(state, "--since", key).exit_code == 2
    assert _run(state, "--since", tmp_path / "nowhere").exit_code == 2
    assert _run(tmp_path / "nowhere").exit_code == 3
    _checkpoint(state).unlink()
    _checkpoint(state).mkdir()
    assert _run(state, "--no-remember").exit_code == 3
