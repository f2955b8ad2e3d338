"""`verify.py --ledger`: a second verifier, written from docs/ledger-format.md, says what the first one says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.audit.compress import compress_sealed
from authz.audit.hold import add_hold
from authz.audit.prune import PruneRequest, prune
from authz.tlog import CompactRange, leaf_hashes, write_base64
from tests.conftest import missing

from . import attacks
from .attacks import Scene
from .days import live, midnight, sign
from .packages import audit, run_verifier
from .published import publish
from .signed_ledger import accessed, append, invent_roll_up, make_ledger, roll_up
from .test_attacks import CASES, Case


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The ledger before anything is done to it."""
    return attacks.build(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A small signed ledger."""
    return make_ledger(tmp_path / "state")


def _agreed(*options: object) -> int:
    """The exit code that both verifiers give."""
    ours = audit("verify", "--no-remember", *options).exit_code
    theirs, said = run_verifier("--ledger", *options)
    assert (theirs, ours) == (ours, ours), said
    return ours


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
def test_both_verifiers_find_the_same_attacks(case: Case, untouched: Scene, tmp_path: Path) -> None:
    """With a pinned key, and with checkpoints that were kept elsewhere."""
    scene = untouched.on(tmp_path / "state")
    key = ("--public-key", scene.public_key)
    since = [each for path in scene.kept for each in ("--since", path)]
    assert run_verifier("--ledger", scene.state, *key, *since)[0] == 0
    case.attack(scene)
    found = {
        "disk": run_verifier("--ledger", scene.state, *key)[0],
        "elsewhere": run_verifier("--ledger", scene.state, *key, *since)[0],
    }
    assert found == {name: int(name in case.found_by) for name in found}


def test_a_sound_ledger_is_exit_0(state: Path) -> None:
    """Told by its state directory or its audit directory, and while it grows past its checkpoint."""
    assert _agreed(state) == 0
    append(state / "audit", "main", [accessed(99)])
    assert _agreed(state) == 0
    code, said = run_verifier("--ledger", state / "audit", "--public-key", state / "keys" / "audit.pub")
    assert code == 0
    assert said.splitlines() == [
        "proven:     'auditor': 3 records, each chained to the one before it",
        "proven:     'auditor': the first 3 records are those of the checkpoint",
        "proven:     'main': 47 records, each chained to the one before it",
        "proven:     'main': the first 44 records are those of the checkpoint",
        "proven:     'main': the first 44 records are those of the node's roll-up",
        "not proven: 'main': nothing signed covers the records after 44",
        "proven:     'other': 44 records, each chained to the one before it",
        "proven:     'other': the first 44 records are those of the checkpoint",
        "proven:     'other': the first 44 records are those of the node's roll-up",
        (
            "proven:     the checkpoints are signed by the key that you gave: 'ledger.example/node' (id "
            f"{(state / 'keys' / 'audit.pub').read_text().split('+')[1]})"
        ),
        "nothing is wrong",
    ]


@pytest.mark.parametrize("tail", [b"", b'{"prev":"torn', b"\0" * 600 + b"\n" + b"x"])
def test_what_a_crash_leaves_is_no_damage(state: Path, tail: bytes) -> None:
    """The next segment says that it does not count."""
    append(state / "audit", "main", [accessed(99)])
    last = _segments(state)[-1]
    last.chmod(0o600)
    orderly = last.read_bytes()
    last.write_bytes(orderly[: orderly.rindex(b"\n", 0, -1) + 1] + tail)
    append(state / "audit", "main", [accessed(100)])
    assert b'"reason":"recover"' in _segments(state)[-1].read_bytes()
    assert _agreed(state) == 0


def _segments(state: Path) -> list[Path]:
    return sorted((state / "audit" / "main").glob("*.jsonl"))


def test_what_is_added_after_an_orderly_end_is_damage(state: Path) -> None:
    """Only a recovery may leave bytes out."""
    append(state / "audit", "main", [accessed(99)])
    first = _segments(state)[0]
    first.chmod(0o600)
    first.write_bytes(first.read_bytes() + b"more\n")
    assert _agreed(state) == 1


def _without_a_number(lines: list[bytes]) -> list[bytes]:
    return attacks.without(5)(lines)


def _at_the_same_time(lines: list[bytes]) -> list[bytes]:
    times = [json.loads(line)["ts"].encode() for line in lines]
    return attacks.changed(6, lambda line: line.replace(times[5], times[4]))(lines)


def _too_long(lines: list[bytes]) -> list[bytes]:
    return attacks.changed(6, lambda line: line.replace(b'"subject":"', b'"pad":"%b","subject":"' % (b"x" * 60_000)))(
        lines
    )


def _no_text(lines: list[bytes]) -> list[bytes]:
    return attacks.changed(6, lambda line: line.replace(b'"subject":"', b'"subject":"\xff'))(lines)


def _without_a_type(lines: list[bytes]) -> list[bytes]:
    return attacks.changed(6, lambda line: line.replace(b'"type":', b'"kind":'))(lines)


def _without_prev(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b'"prev"', b'"perv"')]


FORMS = [_without_a_number, _at_the_same_time, _too_long, _no_text, _without_a_type, _without_prev]


@pytest.mark.parametrize("change", FORMS)
def test_numbers_times_lengths_and_forms_are_checked_by_themselves(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Where nothing is signed and every hash was made to fit."""
    append(tmp_path / "audit", "main", [accessed(number) for number in range(20)])
    assert _agreed(tmp_path) == 0
    path = _segments(tmp_path)[0]
    path.chmod(0o600)
    attacks.edit(path, lambda lines: change(attacks.rechained(change(lines))))
    assert _agreed(tmp_path) == 1


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("how", ["removed", "cut", "renamed", "emptied"])
def test_segments_that_do_not_fit_are_damage(state: Path, number: int, how: str) -> None:
    """The first one and the last one."""
    path = _segments(state)[number]
    path.chmod(0o600)
    data = path.read_bytes()
    match how:
        case "removed":
            path.unlink()
        case "cut":
            path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
        case "renamed":
            path.rename(path.with_name("000000000013.jsonl"))
        case "emptied":
            path.write_bytes(b"")
    assert _agreed(state) == 1


def test_a_stream_that_vanished_is_damage(state: Path) -> None:
    """The roll-up knows it; without one its own checkpoint does."""
    shutil.rmtree(state / "audit" / "other")
    assert _agreed(state) == 1
    shutil.rmtree(state / "audit" / "tiles" / "other")
    assert _agreed(state) == 1
    shutil.rmtree(state / "audit" / "auditor")
    shutil.rmtree(state / "audit" / "tiles" / "auditor")
    assert _agreed(state) == 0
    assert _agreed(state, "--public-key", state / "keys" / "audit.pub") == 1


@pytest.mark.parametrize("own", ["auditor", "auditor.1"])
@pytest.mark.parametrize("left", [["main", "other"], ["main"]], ids=["all", "without-one"])
def test_a_roll_up_that_somebody_added_takes_nothing_back(
    state: Path, tmp_path: Path, own: str, left: list[str]
) -> None:
    """A stream put back to an older state under its older checkpoint, or one that is gone, is found all the same."""
    shutil.copytree(state / "audit", tmp_path / "older")
    append(state / "audit", "main", [accessed(99)])
    publish(state, "main")
    roll_up(state, ["main", "other"])
    for name in ("main", "tiles/main", "tiles/other", "other"):
        shutil.rmtree(state / "audit" / name)
        if name.rpartition("/")[2] in left:
            shutil.copytree(tmp_path / "older" / name, state / "audit" / name)
    invent_roll_up(state, left, own)
    assert _agreed(state) == 1
    assert _agreed(state, "--public-key", state / "keys" / "audit.pub") == 1


@pytest.mark.parametrize("own", ["auditor", "auditor.1"])
def test_a_roll_up_of_another_tree_of_the_same_size_is_damage(state: Path, tmp_path: Path, own: str) -> None:
    """The last record was changed, the newest checkpoint put back, and a roll-up added that fits."""
    shutil.copytree(state / "audit" / "tiles" / "main", tmp_path / "older")
    append(state / "audit", "main", [accessed(99)])
    publish(state, "main")
    roll_up(state, ["main", "other"])
    last = _segments(state)[-1]
    last.chmod(0o600)
    last.write_bytes(last.read_bytes().replace(b'"shutdown"', b'"shutdowm"'))
    shutil.rmtree(state / "audit" / "tiles" / "main")
    shutil.copytree(tmp_path / "older", state / "audit" / "tiles" / "main")
    tree = CompactRange()
    tree.extend(leaf_hashes([line for path in _segments(state) for line in path.read_bytes().splitlines()]))
    invent_roll_up(state, ["main"], own, size=tree.size, root=write_base64(tree.root()))
    assert _agreed(state) == 1


def test_a_checkpoint_that_vanished_is_damage(state: Path) -> None:
    """The roll-up says that there was one."""
    (state / "audit" / "tiles" / "main" / "checkpoint").unlink()
    assert _agreed(state) == 1


@pytest.fixture
def aged(tmp_path: Path) -> Path:
    """Ten days, a segment each, all signed."""
    live(tmp_path / "aged", 0, 10)
    sign(tmp_path / "aged")
    return tmp_path / "aged"


def test_compressed_segments_are_read(aged: Path) -> None:
    """By the zstd program: the bytes are the same, and so is what is said of them."""
    if shutil.which("zstd") is None:
        missing("the zstd program")
    before = run_verifier("--ledger", aged)
    assert before[0] == 0
    assert len(compress_sealed(aged / "audit").done) > 5
    assert run_verifier("--ledger", aged) == before
    packed = next((aged / "audit" / "main").glob("*.zst"))
    packed.chmod(0o600)
    packed.write_bytes(packed.read_bytes()[:-100])
    assert [audit("verify", "--no-remember", aged).exit_code > 0, run_verifier("--ledger", aged)[0]] == [True, 1]


def test_what_was_pruned_is_no_damage(aged: Path) -> None:
    """With holes around what a hold keeps; the rest is still the tree that was signed."""
    add_hold(aged / "audit", "a dispute", "main", midnight(3), midnight(4))
    prune(aged / "audit", PruneRequest(before=midnight(6), archive=None, streams=["main"]))
    assert 4 < len(_segments(aged)) < 10
    code, said = run_verifier("--ledger", aged)
    assert code == 0
    assert "that were pruned, each chained to the one before it" in said
    assert _agreed(aged) == 0
    _segments(aged)[-3].unlink()
    assert _agreed(aged) == 1


@pytest.mark.parametrize("field", ["minimum_index", "hashes", "chain_hash"])
def test_a_prune_record_that_somebody_made_up_is_found(aged: Path, field: str) -> None:
    """What it says of the records that are gone has to lead to the tree that was signed."""
    prune(aged / "audit", PruneRequest(before=midnight(6), archive=None, streams=["main"]))
    path = next(each for each in (aged / "audit" / "cli").glob("*.jsonl") if b"audit.prune" in each.read_bytes())
    path.chmod(0o600)
    data = path.read_bytes()
    at = data.index(b'"%b":' % field.encode()) + len(field) + 3
    at += data[at : at + 4].find(b'"') + 1 if field != "minimum_index" else 0
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert _agreed(aged) == 1


def test_there_is_nothing_to_look_at_is_exit_3(tmp_path: Path) -> None:
    """Neither intact nor damaged."""
    assert _agreed(tmp_path) == 3
