"""`authz audit evidence`: what matches, what is withheld, and all it takes to check both without us."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from authz import bundle
from authz.audit import begin_successor, write_evidence
from authz.audit import verify as verify_ledger
from authz.audit.evidence import verify as verify_py
from authz.tlog import Signer

from .packages import ALICE, audit, judged, pack, rewrite, run_verifier, shown, unpacked
from .published import publish
from .signed_ledger import WITNESS, accessed, append, append_all, make_ledger, node_key, roll_up


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that no test writes to."""
    return make_ledger(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def state(signed: Path, tmp_path: Path) -> Path:
    """A ledger of the test's own."""
    return Path(shutil.copytree(signed, tmp_path / "state"))


@pytest.fixture
def package(signed: Path, tmp_path: Path) -> Path:
    """An unpacked package about alice."""
    return unpacked(pack(signed, tmp_path / "alice.zip", *ALICE), tmp_path / "package")


def test_a_package_shows_what_matches_as_it_was_recorded(package: Path, signed: Path) -> None:
    """Every record byte by byte, every withheld one between them as a leaf hash."""
    segments = sorted((signed / "audit" / "main").glob("*.jsonl"))
    recorded = b"".join(path.read_bytes() for path in segments).split(b"\n")[:-1]
    rows = (package / "streams" / "main" / "log").read_bytes().split(b"\n")[:-1]
    matching = [number for number, line in enumerate(recorded) if b'"h1:k:alice"' in line]
    first, last = matching[0], matching[-1]
    between = [
        line if number in matching else b"0 " + hashlib.sha256(b"\0" + line).hexdigest().encode()
        for number, line in enumerate(recorded[first : last + 1], first)
    ]
    start = rows.index(recorded[first])
    assert rows[start : start + len(between)] == between
    assert [len(matching), len(between)] == [6, 38]
    assert all(re.fullmatch(rb"[0-9]+ [0-9a-f]{64}", row) for row in rows[:start] + rows[start + len(between) :])


def test_it_verifies_with_python_alone(package: Path, signed: Path, tmp_path: Path) -> None:
    """Unpacked, by the program that is in it, and as the zip."""
    asked = ("--public-key", node_key(signed), "--witness", WITNESS.vkey)
    code, said = run_verifier(*asked, program=package / "verify.py")
    assert code == 0
    between = "6 records, from 5 to 42 with 32 withheld between them, stand in the log of 44 records"
    log, key_id = "ledger.example/node", node_key(signed).split("+")[1]
    assert said.splitlines()[1:] == [
        f"proven:     the node's checkpoint '{log}/auditor' of 3 records covers the roll-up of {_rollup_time(signed)}",
        "proven:     the witness 'witness.example/w1' saw the checkpoint at 2025-11-24T16:00:00Z",
        f"proven:     'main': {between} under the checkpoint of '{log}/main'",
        "proven:     'main': the node's roll-up covers all of them",
        f"proven:     'other': {between} under the checkpoint of '{log}/other'",
        "proven:     'other': the node's roll-up covers all of them",
        f"proven:     the checkpoints are signed by the key that you gave: '{log}' (id {key_id})",
        "not proven: that these are all events that match: a package shows what is in it, not what else there is",
        "nothing is wrong",
    ]
    assert run_verifier(tmp_path / "alice.zip", *asked) == (0, said)
    assert audit("verify-evidence", tmp_path / "alice.zip", *asked).stdout == said


def _rollup_time(state: Path) -> object:
    lines = next((state / "audit" / "auditor").glob("*.jsonl")).read_bytes().splitlines()
    return next(json.loads(line)["ts"] for line in lines if b"audit.rollup" in line)


def _pythons() -> list[Path]:
    """Every Python of this machine that the verifier promises to run on: this one, and others where there are any."""
    named = (shutil.which(f"python3.{minor}") for minor in range(8, 20))
    kept = (Path.home() / ".pyenv" / "versions").glob("3.*/bin/python")
    found = {Path(each) for each in (*named, *kept, sys.executable) if each is not None}
    versions = {each: subprocess.run([each, "-V"], capture_output=True, text=True, check=False) for each in found}
    right = re.compile(r"Python 3\.(8|9|[1-9][0-9])\.")
    return sorted(each for each, said in versions.items() if said.returncode == 0 and right.match(said.stdout))


@pytest.mark.slow
def test_it_verifies_with_any_python_there_is(package: Path, signed: Path) -> None:
    """From 3.8 on: packages, proofs and whole ledgers, word for word the same."""
    asked = ("--public-key", node_key(signed), "--witness", WITNESS.vkey)
    questions = [(package, *asked), ("--ledger", signed, *asked), ("--proof", package / "node.tlog-proof", *asked)]
    expected = [run_verifier(*question) for question in questions]
    assert [code for code, _ in expected] == [0, 0, 0]
    for python in _pythons():
        assert [run_verifier(*question, python=python) for question in questions] == expected, python


def test_a_key_that_comes_with_the_package_proves_nothing_about_who(package: Path) -> None:
    """It is said so, and the rest is checked with it."""
    code, said = run_verifier(package)
    assert code == 0
    assert "not proven: who signed: the key 'ledger.example/node'" in said
    (package / "public-keys").unlink()
    assert run_verifier(package)[0] == 1


def test_without_any_key_the_package_only_fits_together(state: Path, tmp_path: Path) -> None:
    """The state directory keeps none, and nobody gives one."""
    (state / "keys" / "audit.pub").unlink()
    code, said = run_verifier(pack(state, tmp_path / "e.zip", *ALICE))
    assert code == 0
    assert "not proven: who signed: there is no public key to check the signatures with" in said


def test_another_key_and_a_witness_that_was_not_asked_are_wrong(package: Path, signed: Path) -> None:
    """Whoever names a key wants exactly that one."""
    stranger = str(Signer.generate("ledger.example/node").verifier)
    assert judged(package, stranger)[0] == 1
    other = WITNESS.vkey.replace("w1", "w2")
    with pytest.raises(verify_py.WrongError):
        verify_py.read_keys(other.encode())
    assert judged(package, node_key(signed), str(WITNESS.named("witness.example/w2").verifier))[0] == 1


@pytest.mark.parametrize("compact", [False, True])
def test_the_same_evidence_is_the_same_bytes(signed: Path, tmp_path: Path, compact: bool) -> None:
    """Wherever and whenever it is packed."""
    options = [*ALICE, *(["--compact"] if compact else [])]
    (tmp_path / "there").mkdir()
    first, second = pack(signed, tmp_path / "a.zip", *options), pack(signed, tmp_path / "there" / "b.zip", *options)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_compact_withholds_stretches_in_few_rows(signed: Path, tmp_path: Path) -> None:
    """The same records, the same proofs, fewer hashes."""
    whole = unpacked(pack(signed, tmp_path / "a.zip", *ALICE), tmp_path / "a")
    small = unpacked(pack(signed, tmp_path / "b.zip", *ALICE, "--compact"), tmp_path / "b")
    assert shown(small) == shown(whole)
    assert judged(small, node_key(signed), WITNESS.vkey)[1][1:] == judged(whole, node_key(signed), WITNESS.vkey)[1][1:]
    rows = [len((each / "streams" / "main" / "log").read_bytes().splitlines()) for each in (whole, small)]
    assert rows == [40, 23]


def test_filters_are_those_of_a_search(signed: Path, tmp_path: Path) -> None:
    """And the manifest says what was asked, times as absolute ones."""
    package = unpacked(
        pack(signed, tmp_path / "e.zip", "--type", "memory.accessed", "--since", "1d", "--until", "2099-01-01"),
        tmp_path / "e",
    )
    question = json.loads((package / "manifest.json").read_bytes())["question"]
    assert set(question) == {"type", "since", "until"}
    assert question["until"] == "2099-01-01T00:00:00.000000Z"
    assert re.fullmatch(r"20[0-9-]{8}T[0-9:.]{15}Z", question["since"])
    assert [len(shown(package, stream)) for stream in ("main", "other")] == [40, 40]


def test_nothing_that_matches_is_exit_1_and_no_file(signed: Path, tmp_path: Path) -> None:
    """A package without a record would show nothing."""
    result = audit("evidence", "--state", signed, "-o", tmp_path / "e.zip", "--subject", "h1:k:nobody")
    assert (result.exit_code, result.stderr, list(tmp_path.iterdir())) == (1, "no event matches\n", [])
    assert audit("evidence", "--state", signed, "-o", tmp_path / "e.zip", "--until", "1w").exit_code == 1


def test_what_no_checkpoint_covers_is_left_out_and_said(state: Path, tmp_path: Path) -> None:
    """And where nothing else matches, it is exit 3."""
    append(state / "audit", "main", [accessed(99, "h1:k:alice"), accessed(98, "h1:k:bob")])
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", *ALICE)
    assert (result.exit_code, result.stderr) == (0, "note: 1 matching events are newer than the checkpoint: left out\n")
    assert (
        "not proven: 1 matching events were newer than the checkpoints and are left out"
        in run_verifier(tmp_path / "e.zip")[1]
    )
    assert audit("evidence", "--state", state, "-o", tmp_path / "n.zip", "--subject", "h1:k:bob").exit_code == 3
    publish(state, "main")
    pack(state, tmp_path / "n.zip", "--subject", "h1:k:bob")


def test_what_the_roll_up_does_not_cover_yet_is_said(state: Path, tmp_path: Path) -> None:
    """The stream has grown since: its root at the roll-up's size is shown and compared all the same."""
    append(state / "audit", "main", [accessed(99, "h1:k:alice")])
    publish(state, "main")
    for options in ((), ("--compact",)):
        package = unpacked(pack(state, tmp_path / "e.zip", *ALICE, *options), tmp_path / "e")
        wrong, said = judged(package, node_key(state), WITNESS.vkey)
        assert wrong == 0
        assert "not proven: 'main': the node's roll-up covers them up to record 44 only" in said
        assert "proven: 'other': the node's roll-up covers all of them" in said
        shutil.rmtree(package)


def test_a_stream_that_was_rewritten_after_the_roll_up_is_not_packed(state: Path, tmp_path: Path) -> None:
    """The node's key holder signed two histories: the roll-up tells."""
    stream = state / "audit" / "main"
    shutil.rmtree(stream)
    append(state / "audit", "main", [accessed(number, "h1:k:alice") for number in range(60)])
    publish(state, "main")
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", *ALICE)
    assert (result.exit_code, "the node's roll-up states another tree for it" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == [state]


def test_a_stream_behind_the_roll_up_is_not_packed(state: Path, tmp_path: Path) -> None:
    """Its checkpoint was put back to an older one."""
    publish(state, "main", 30)
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", *ALICE)
    assert (result.exit_code, result.stderr) == (1, "main: its checkpoint is older than the node's roll-up\n")


def test_without_a_node_the_package_says_so(state: Path, tmp_path: Path) -> None:
    """A ledger that no auditor rolls up still has its streams' own checkpoints; no witness can be asked."""
    shutil.rmtree(state / "audit" / "tiles" / "auditor")
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", *ALICE)
    assert (result.exit_code, result.stderr.startswith("note: no roll-up of the node")) == (0, True)
    assert run_verifier(tmp_path / "e.zip", "--public-key", node_key(state))[0] == 0
    assert run_verifier(tmp_path / "e.zip", "--public-key", node_key(state), "--witness", WITNESS.vkey)[0] == 1


def test_the_node_s_word_is_that_of_its_newest_stream(state: Path, tmp_path: Path) -> None:
    """Its own stream was left, and another one goes on: what that says counts, the old stream's end included."""
    begin_successor(state / "audit", "auditor", "put back to an older state")
    append(state / "audit", "main", [accessed(99, "h1:k:alice")])
    publish(state, "main")
    publish(state, "cli")
    roll_up(state, ["auditor", "cli", "main", "other"], "auditor.1")
    asked = ("--public-key", node_key(state), "--witness", WITNESS.vkey)
    code, said = run_verifier(pack(state, tmp_path / "e.zip", *ALICE), *asked)
    assert code == 0
    assert "the node's checkpoint 'ledger.example/node/auditor.1' of 6 records" in said
    assert said.count("the node's roll-up covers all of them") == 2
    code, said = run_verifier("--ledger", state, *asked)
    assert (code, "'main': the first 47 records are those of the node's roll-up" in said) == (0, True)
    shutil.rmtree(state / "audit" / "cli")
    assert run_verifier("--ledger", state, *asked)[0] == 1


def test_records_of_the_node_itself_can_be_evidence(signed: Path, tmp_path: Path) -> None:
    """Its stream is one like the others."""
    package = unpacked(pack(signed, tmp_path / "e.zip", "--type", "audit.rollup"), tmp_path / "e")
    assert [record["type"] for record in shown(package, "auditor")] == ["audit.rollup"]
    assert judged(package, node_key(signed))[0] == 0


@pytest.mark.parametrize("compact", [(), ("--compact",)])
def test_tiles_that_fail_are_computed_from_the_segments(
    signed: Path, state: Path, tmp_path: Path, compact: tuple[str, ...]
) -> None:
    """The package is the same."""
    shutil.rmtree(state / "audit" / "tiles" / "main" / "tile")
    tile = next((state / "audit" / "tiles" / "other" / "tile" / "0").rglob("44"))
    tile.write_bytes(bytes(44 * 32))
    mine, theirs = pack(state, tmp_path / "a.zip", *ALICE, *compact), pack(signed, tmp_path / "b.zip", *ALICE, *compact)
    assert mine.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("subject", ["h1:k:alice", "h1:k:s"])
def test_a_damaged_ledger_gives_no_package(state: Path, tmp_path: Path, subject: str) -> None:
    """Whether the changed record would be shown or withheld."""
    segment = sorted((state / "audit" / "main").glob("*.jsonl"))[0]
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b'"e10","ts"', b'"f10","ts"'))
    assert not verify_ledger(state).intact
    result = audit("evidence", "--state", state, "-o", tmp_path / "e.zip", "--subject", subject)
    assert (result.exit_code, result.stderr) == (
        1,
        "main: the records are not those that were signed; see `authz audit verify`\n",
    )
    assert list(tmp_path.iterdir()) == [state]


def _bundle(revision: str) -> bytes:
    manifest = {"revision": revision, "metadata": {"authz": {"entrypoints": ["a/b"], "opa": "1"}}}
    return bundle.pack({**bundle.read_shipped().members, bundle.MANIFEST: json.dumps(manifest).encode()})


def test_policies_come_with_the_records_that_name_them(tmp_path: Path) -> None:
    """As kept, else the shipped one, else the manifest says that it is not there."""
    shipped = bundle.read_shipped().revision
    state = tmp_path / "state"
    make_ledger(state)
    other, secret = _bundle("kept1"), _bundle("../../secret")
    (state / "bundles").mkdir()
    (state / "bundles" / "kept1").write_bytes(other)
    (state / "bundles" / "lost1").write_bytes(other)
    (tmp_path / "secret").write_bytes(secret)
    named = ["kept1", "lost1", shipped, "../../secret"]
    append(state / "audit", "main", [accessed(500 + n, "h1:k:eve", revision=name) for n, name in enumerate(named)])
    for stream in ("main", "other"):
        publish(state, stream)
    roll_up(state, ["main", "other"])
    package = unpacked(pack(state, tmp_path / "e.zip", "--subject", "h1:k:eve"), tmp_path / "e")
    assert json.loads((package / "manifest.json").read_bytes())["policies"] == [
        {"revision": "../../secret", "file": None, "origin": "not kept"},
        {
            "revision": shipped,
            "file": f"policies/{shipped}.tar.gz",
            "origin": "shipped with this version of the service",
        },
        {"revision": "kept1", "file": "policies/kept1.tar.gz", "origin": "kept when it was active"},
        {"revision": "lost1", "file": None, "origin": "not kept"},
    ]
    assert (package / "policies" / "kept1.tar.gz").read_bytes() == other
    assert bundle.read(package / "policies" / f"{shipped}.tar.gz").revision == shipped
    assert judged(package, node_key(state))[0] == 0
    rewrite(package, f"policies/{shipped}.tar.gz", other)
    assert judged(package, node_key(state))[0] == 1


@pytest.mark.slow
def test_memory_stays_flat_however_much_matches(tmp_path: Path) -> None:
    """Packing and verifying ten megabytes of records takes no more than a few, wherever they are held."""
    state = tmp_path / "state"
    state.mkdir()
    append_all(state / "audit", "main", [accessed(number, pad="x" * 300) for number in range(25_000)])
    publish(state, "main")
    assert sum(path.stat().st_size for path in (state / "audit" / "main").glob("*.jsonl")) > 10_000_000
    tracemalloc.start()
    try:
        write_evidence(tmp_path / "e.zip", {"subject": "h1:k:s"}, path=state)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    assert run_verifier(tmp_path / "e.zip")[0] == 0
