"""What signed checkpoints add to verification, and that an honest ledger is never called damaged."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit import Coverage, Verification, compress_sealed, node_claims, stream_check, verify
from authz.audit.extent import line_blocks
from authz.audit.prune import PruneRequest, prune
from authz.audit.prune_record import PrunedSegment, pruned
from authz.audit.segment import segment_names
from authz.audit.succession import begin_successor
from authz.core import Event
from authz.tlog import Checkpoint, CompactRange, read_checkpoint, split_note, write_base64
from tests.properties import many

from . import attacks
from .attacks import FIRST, SECOND, Scene
from .days import live, midnight, sign
from .ledger import STREAM
from .published import key_of, publish
from .signed_ledger import NODE_STREAM, accessed, append, make_ledger, node_key, roll_up


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A ledger of a thousand records, signed every hundred."""
    return attacks.build(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(untouched: Scene, tmp_path: Path) -> Scene:
    """The same on a disk of its own."""
    return untouched.on(tmp_path / "state")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two streams of 8 records and the node's roll-up of them: small enough to change each byte."""
    state = make_ledger(tmp_path_factory.mktemp("small") / "state", 4)
    for path in state.glob("audit/*/*.jsonl"):
        path.chmod(0o600)
    return state


def _all(scene: Scene, memory: Path | None = None) -> Verification:
    """With everything that an auditor may have at hand."""
    return verify(scene.state, public_keys=[scene.public_key], since=scene.kept, memory=memory)


def _kinds(found: Verification) -> list[tuple[str, str]]:
    return [(issue.stream, issue.kind) for issue in found.issues]


def _notes(found: Verification) -> list[tuple[str, str]]:
    return [(note.stream, note.kind) for note in found.notes]


def test_a_ledger_covered_to_its_end_leaves_nothing_to_say(scene: Scene) -> None:
    """No finding and no note: which checkpoint covers it, and by whose key."""
    found = _all(scene)
    assert (found.issues, found.notes) == ((), ())
    vkey = node_key(scene.state)
    main = found.streams[1]
    checkpoint = scene.tiles / STREAM / "checkpoint"
    assert (main.stream, main.records, main.covered_seq, main.intact, main.complete) == (STREAM, 1000, 1000, True, True)
    assert main.coverage == Coverage(1000, "checkpoint", str(checkpoint), vkey)
    assert (found.keys.source, found.keys.where, found.keys.vkeys) == ("given", str(scene.public_key), (vkey,))


def _grows(scene: Scene) -> None:
    append(scene.audit, STREAM, [accessed(number) for number in range(1000, 1100)])


def _grows_and_is_signed(scene: Scene) -> None:
    attacks.grow(scene.state, 1000, 1300)


def _crashes(scene: Scene) -> None:
    """A torn line, and the segment that recovery opens after it."""
    _grows(scene)
    last = scene.stream / segment_names(scene.stream)[-1]
    last.chmod(0o600)
    last.write_bytes(last.read_bytes()[:-10])
    _grows(scene)


def _is_compressed(scene: Scene) -> None:
    attacks.grow(scene.state, 1000, 1300)
    attacks.grow(scene.state, 1300, 1600)
    assert compress_sealed(scene.audit).done


def _is_pruned(scene: Scene) -> None:
    attacks.grow(scene.state, 1000, 1300)
    request = PruneRequest(before="9999-01-01T00:00:00.000000Z", archive=None, streams=[STREAM])
    [done] = prune(scene.audit, request)
    assert done.segments == (FIRST,)


def _goes_on_in_another_stream(scene: Scene) -> None:
    begin_successor(scene.audit, STREAM, "the disk was replaced")


def _gets_another_stream(scene: Scene) -> None:
    append(scene.audit, "worker-7", [accessed(1)])


@pytest.mark.parametrize(
    ("happens", "notes"),
    [
        (_grows, [(STREAM, "uncovered")]),
        (_grows_and_is_signed, []),
        (_crashes, [(STREAM, "ignored_tail"), (STREAM, "uncovered")]),
        (_is_compressed, []),
        (_is_pruned, [("cli", "uncovered"), (STREAM, "pruned")]),
        (_goes_on_in_another_stream, [("cli", "uncovered"), (f"{STREAM}.1", "uncovered")]),
        (_gets_another_stream, [("worker-7", "uncovered")]),
    ],
)
def test_what_happens_to_an_honest_ledger_is_never_called_damage(
    happens: object, notes: list[tuple[str, str]], scene: Scene, tmp_path: Path
) -> None:
    """Growth, crash, compression, pruning, another stream: with every checkpoint at hand, only notes."""
    assert callable(happens)
    assert _all(scene, tmp_path / "memory").issues == ()
    happens(scene)
    for _ in range(2):
        found = _all(scene, tmp_path / "memory")
        assert (_kinds(found), _notes(found)) == ([], notes)


def test_a_pruned_stream_is_held_to_its_checkpoints_from_the_prune_record_on(scene: Scene) -> None:
    """The tree goes on from the record's hashes: a change behind it is found and placed."""
    _is_pruned(scene)
    for path in scene.stream.glob("*.jsonl"):
        path.chmod(0o600)
    attacks.edit(scene.stream / SECOND, lambda lines: attacks.rechained(attacks.changed(250)(lines)))
    found = verify(scene.state, public_keys=[scene.public_key])
    issues = [(issue.kind, issue.segment, issue.line) for issue in found.issues]
    assert issues[:2] == [("record_changed", SECOND, 250), ("root_mismatch", SECOND, 300)]
    report = {each.stream: each for each in found.streams}[STREAM]
    assert (report.first_seq, report.last_seq, report.segments) == (501, 1300, 2)


def test_the_oldest_segment_gone_without_a_prune_record_is_damage(scene: Scene) -> None:
    """The records after it are not counted as covered: nobody knows where they stand in the tree."""
    (scene.stream / FIRST).unlink()
    found = verify(scene.state)
    assert [(issue.kind, issue.segment, issue.line) for issue in found.issues] == [("segment_missing", SECOND, 1)]
    assert (found.streams[1].covered_seq, found.streams[1].complete) == (0, False)


def test_a_segment_more_than_the_prune_record_says_is_damage(scene: Scene) -> None:
    """At the front, and behind a front that is rightly gone."""
    attacks.grow(scene.state, 1000, 1300)
    attacks.grow(scene.state, 1300, 1600)
    begins = json.loads((scene.stream / SECOND).read_bytes().split(b"\n")[0])["ts"]
    [done] = prune(scene.audit, PruneRequest(before=begins, archive=None, streams=[STREAM]))
    names = segment_names(scene.stream)
    assert (done.segments, len(names)) == ((FIRST,), 3)
    (scene.stream / names[1]).unlink()
    behind = verify(scene.state)
    assert [(issue.kind, issue.segment) for issue in behind.issues] == [("segment_missing", names[2])]
    (scene.stream / names[0]).unlink()
    front = verify(scene.state)
    assert [(issue.kind, issue.segment) for issue in front.issues] == [("segment_missing", names[2])]
    assert (STREAM, "pruned") in _notes(behind)
    assert (STREAM, "pruned") not in _notes(front)


def test_a_prune_record_that_lies_about_the_tree_is_found(scene: Scene) -> None:
    """The tree that grows from it has not the roots that were signed."""
    (scene.stream / FIRST).unlink()
    prev = (scene.stream / SECOND).read_bytes()[9:73]
    tree = CompactRange(500, [bytes(32)] * 6)
    gone = PrunedSegment(FIRST, 1, "0" * 64)
    append(scene.audit, "cli", [Event("p1", "audit.prune", pruned(STREAM, tree, prev, (gone,), reason="none"))])
    assert _kinds(verify(scene.state)) == [(STREAM, "root_mismatch")]


def test_segments_around_one_that_is_held_may_be_gone(tmp_path: Path) -> None:
    """A hold that came between a prune's record and its removals keeps its segment; the rest is verified."""
    state = tmp_path / "state"
    live(state, 0, 6)
    sign(state)
    request = PruneRequest(before=midnight(3), archive=None, streams=[STREAM])
    kept = state / "audit" / STREAM / segment_names(state / "audit" / STREAM)[1]
    aside = tmp_path / kept.name
    shutil.copy2(kept, aside)
    [done] = prune(state / "audit", request)
    assert len(done.segments) == 3
    shutil.copy2(aside, kept)
    found = verify(state)
    assert _kinds(found) == []
    assert (STREAM, "pruned") in _notes(found)


def test_a_vanished_stream_is_found_by_the_roll_up(tmp_path: Path) -> None:
    """Its records, its tree and its checkpoint are gone; the node's own stream still speaks of it."""
    state = make_ledger(tmp_path / "state")
    shutil.rmtree(state / "audit" / "other")
    shutil.rmtree(state / "audit" / "tiles" / "other")
    found = verify(state)
    assert _kinds(found) == [("other", "stream_missing")]
    assert found.issues[0].message == "There is no such stream, but the node's roll-up speaks of 44 records"


def test_a_node_s_stream_that_goes_on_in_another_speaks_on(scene: Scene) -> None:
    """What either of them says is held against the streams, and what the newer says against the older."""
    begin_successor(scene.audit, NODE_STREAM, "the disk was put back")
    append(scene.audit, "worker-7", [accessed(1)])
    publish(scene.state, "worker-7")
    heads = {stream: _head(scene, stream) for stream in (NODE_STREAM, STREAM, "worker-7")}
    streams = [
        {"stream": stream, "origin": head.origin, "size": head.size, "root": write_base64(head.root)}
        for stream, head in heads.items()
    ]
    successor = f"{NODE_STREAM}.1"
    append(scene.audit, successor, [Event("r1", "audit.rollup", {"streams": streams})])
    publish(scene.state, successor)
    found = _all(scene)
    assert (found.issues, _notes(found)) == ((), [("cli", "uncovered")])
    shutil.rmtree(scene.audit / "worker-7")
    for path in sorted((scene.audit / NODE_STREAM).glob("*.jsonl"))[-2:]:
        path.unlink()
    attacks.edited_and_rehashed(scene)
    (scene.tiles / NODE_STREAM / "checkpoint").unlink()
    found = verify(scene.state)
    assert {(issue.stream, issue.kind) for issue in found.issues} == {
        (NODE_STREAM, "checkpoint_missing"),
        (NODE_STREAM, "stream_cut"),
        (STREAM, "record_changed"),
        (STREAM, "root_mismatch"),
        ("worker-7", "stream_missing"),
    }


def _head(scene: Scene, stream: str) -> Checkpoint:
    return read_checkpoint(split_note((scene.tiles / stream / "checkpoint").read_bytes())[0])


def test_a_vanished_stream_is_found_by_its_checkpoint(tmp_path: Path) -> None:
    """Where no roll-up speaks of it yet."""
    state = make_ledger(tmp_path / "state")
    append(state / "audit", "worker-7", [accessed(1)])
    publish(state, "worker-7")
    shutil.rmtree(state / "audit" / "worker-7")
    found = verify(state)
    assert _kinds(found) == [("worker-7", "stream_missing")]
    assert found.issues[0].message == "There is no such stream, but its checkpoint is there"


def test_a_roll_up_that_is_not_signed_yet_covers_nothing(scene: Scene) -> None:
    """It is held against the stream all the same."""
    older = (scene.tiles / STREAM / "checkpoint").read_bytes()
    append(scene.audit, STREAM, [accessed(number) for number in range(98)])
    publish(scene.state, STREAM)
    head = _head(scene, STREAM)
    (scene.tiles / STREAM / "checkpoint").write_bytes(older)
    _roll_up(scene.state, (head.size, write_base64(head.root)))
    found = verify(scene.state)
    assert (found.issues, found.streams[1].last_seq, found.streams[1].covered_seq) == ((), 1100, 1000)
    _roll_up(scene.state, (1200, write_base64(head.root)))
    assert _kinds(verify(scene.state)) == [(STREAM, "stream_cut")]


def test_a_checkpoint_that_was_taken_away_is_found_by_the_roll_up(scene: Scene) -> None:
    """What was signed once has a checkpoint; the roll-up covers the records all the same."""
    (scene.tiles / STREAM / "checkpoint").unlink()
    found = verify(scene.state)
    assert _kinds(found) == [(STREAM, "checkpoint_missing")]
    assert found.streams[1].coverage == Coverage(
        1000, "rollup", f"record 29 of the stream {NODE_STREAM}", node_key(scene.state)
    )


def test_with_a_pinned_key_a_ledger_without_checkpoints_is_not_accepted(scene: Scene) -> None:
    """Whoever states a key expects signatures; without any key it is a note."""
    shutil.rmtree(scene.tiles)
    shutil.rmtree(scene.audit / NODE_STREAM)
    pinned = verify(scene.state, public_keys=[scene.public_key])
    assert _kinds(pinned) == [(NODE_STREAM, "stream_missing"), (STREAM, "checkpoint_missing")]
    shutil.rmtree(scene.state / "keys")
    found = verify(scene.state)
    assert (_kinds(found), _notes(found)) == ([], [(STREAM, "uncovered")])
    assert (found.keys.source, found.streams[0].coverage) == ("none", None)


def _roll_up(state: Path, *entries: tuple[int, str]) -> None:
    """Roll-up records that say these sizes and roots of the stream."""
    events = [
        Event(
            f"r{number}", "audit.rollup", {"streams": [{"stream": STREAM, "origin": "o", "size": size, "root": root}]}
        )
        for number, (size, root) in enumerate(entries)
    ]
    append(state / "audit", NODE_STREAM, events)


def test_roll_ups_that_contradict_one_another_are_found(scene: Scene) -> None:
    """A tree that shrinks, two trees of one size, and what is no roll-up."""
    _roll_up(scene.state, (900, write_base64(bytes(32))), (1000, write_base64(bytes(32))), (1000, "no root"))
    found = verify(scene.state)
    assert [(issue.kind, issue.stream, issue.message) for issue in found.issues] == [
        ("rollup_mismatch", NODE_STREAM, "Record 32: main had 1000 records before and has 900 now"),
        ("rollup_mismatch", NODE_STREAM, "Record 33: two different trees of main with 1000 records were signed"),
        (
            "rollup_mismatch",
            NODE_STREAM,
            "Record 34: a roll-up that cannot be read: roll-up record: not standard base64: 'no root'",
        ),
    ]


def test_more_roll_ups_than_fit_into_memory_are_held_against_the_stream(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go through a temporary file; the first one that does not agree is the one that is named."""
    monkeypatch.setattr(node_claims, "_MEMORY_BYTES", 100)
    assert verify(scene.state).issues == ()
    attacks.edited_and_rehashed(scene)
    assert _kinds(verify(scene.state)) == [(STREAM, "record_changed"), (STREAM, "root_mismatch")]


def _bytes_of(state: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(state.glob("audit/*/*.jsonl")):
        for at in range(path.stat().st_size):
            yield path, at


@pytest.mark.slow
def test_any_changed_byte_under_a_checkpoint_is_found(small: Path, tmp_path: Path) -> None:
    """Every byte of every record of every stream, the last ones and their LFs too."""
    state = tmp_path / "state"
    shutil.copytree(small, state)
    missed = []
    for path, at in _bytes_of(state):
        data = path.read_bytes()
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        if verify(state).intact:
            missed.append((path.name, at))
        path.write_bytes(data)
    assert missed == []


@pytest.mark.slow
@many
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_whatever_a_byte_under_a_checkpoint_becomes_it_is_found(
    small: Path, tmp_path_factory: pytest.TempPathFactory, place: float, value: int
) -> None:
    """LF, NUL, quotes: no value hides, at any place."""
    state = tmp_path_factory.mktemp("changed") / "state"
    shutil.copytree(small, state)
    every = list(_bytes_of(state))
    path, at = every[int(place * len(every))]
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
    assert verify(state).intact == (data[at] == value)


@pytest.mark.slow
@many
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_whatever_a_byte_of_a_checkpoint_becomes_it_is_found(
    small: Path, tmp_path_factory: pytest.TempPathFactory, place: float, value: int
) -> None:
    """Size, root, name, signature: a checkpoint is what was signed or it is refused."""
    state = tmp_path_factory.mktemp("changed") / "state"
    shutil.copytree(small, state)
    path = state / "audit" / "tiles" / STREAM / "checkpoint"
    data = path.read_bytes()
    at = int(place * len(data))
    path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
    assert _kinds(verify(state)) == ([] if data[at] == value else [(STREAM, "checkpoint_refused")])


@pytest.mark.parametrize("tile", ["tile/0/001", "tile/0/003.p/232", "tile/1/000.p/3"])
def test_a_damaged_tile_is_no_damage_of_the_records(scene: Scene, tile: str) -> None:
    """They have the root that was signed: the tile is noted, and can be made again."""
    path = scene.tiles / STREAM / tile
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found = verify(scene.state)
    assert [(note.stream, note.kind, note.message.split(" ")[0]) for note in found.notes] == [
        (STREAM, "tile_damaged", tile)
    ]
    assert found.issues == ()
    path.unlink()
    path.mkdir()
    assert _notes(verify(scene.state)) == [(STREAM, "tile_damaged")]


def test_damaged_tiles_hide_no_changed_record(scene: Scene) -> None:
    """After records that are as they were signed, the tiles that follow are compared again."""
    path = scene.tiles / STREAM / "tile/0/000"
    path.write_bytes(bytes(len(path.read_bytes())))
    attacks.edited_and_rehashed(scene)
    found = verify(scene.state)
    assert [(issue.segment, issue.line) for issue in found.issues if issue.kind == "record_changed"] == [(SECOND, 250)]
    assert _notes(found) == [(STREAM, "tile_damaged"), (STREAM, "uncovered")]


def test_what_a_forger_signed_is_not_taken_for_agreement(scene: Scene) -> None:
    """The roll-ups agree with the forged records; the checkpoint from elsewhere says nothing of the kind."""
    attacks.rewritten_with_the_real_key(scene)
    [message] = [issue.message for issue in _all(scene).issues if issue.stream == STREAM]
    kept = f"the checkpoint kept elsewhere ({scene.kept[0]})"
    assert message == f"Records up to 1000 are not those that {kept} is of: one or more were changed"


def test_records_that_moved_are_named_once(scene: Scene) -> None:
    """After a deleted line every leaf is another one: the first is named, not all."""
    attacks.deleted_renumbered_and_rehashed(scene)
    found = verify(scene.state)
    assert [(issue.line) for issue in found.issues if issue.kind == "record_changed"] == [250]


def test_a_checkpoint_that_cannot_be_read_is_neither_yes_nor_no(scene: Scene) -> None:
    """As a segment that cannot be read: nothing else is wrong."""
    path = scene.tiles / STREAM / "checkpoint"
    path.unlink()
    path.mkdir()
    found = verify(scene.state)
    assert (_kinds(found), found.undecided) == ([(STREAM, "checkpoint_unreadable")], True)


def test_one_stream_can_be_verified_by_itself(scene: Scene) -> None:
    """Against its own checkpoint; nothing is said about the others."""
    shutil.rmtree(scene.audit / NODE_STREAM)
    found = verify(scene.stream)
    assert (found.issues, [report.stream for report in found.streams]) == ((), [STREAM])
    assert found.streams[0].covered_seq == 1000
    attacks.last_line_flipped(scene)
    assert _kinds(verify(scene.stream)) == [(STREAM, "record_changed"), (STREAM, "root_mismatch")]


def test_a_segment_that_is_pruned_while_it_is_read_is_no_damage(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is begun anew, from what the prune recorded before it removed anything."""
    opened: list[str] = []

    def racing(path: Path, end: int) -> Iterator[tuple[list[bytes], bytes]]:
        if path.parent == scene.stream and not opened:
            opened.append(path.name)
            _is_pruned(scene)
        return line_blocks(path, end)

    monkeypatch.setattr(stream_check, "line_blocks", racing)
    found = verify(scene.state)
    assert (_kinds(found), opened) == ([], [FIRST])
    assert (STREAM, "pruned") in _notes(found)


def test_a_segment_that_keeps_vanishing_is_missing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a record of it, somebody takes it away."""

    def vanishing(path: Path, end: int) -> Iterator[tuple[list[bytes], bytes]]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(stream_check, "line_blocks", vanishing)
    assert _kinds(verify(scene.stream)) == [(STREAM, "segment_missing")]


def test_segments_end_wherever_they_do_in_a_tile(tmp_path: Path) -> None:
    """Rotation and tiles know nothing of one another."""
    state = tmp_path / "state"
    live(state, 0, 5, 77)
    publish(state, STREAM)
    roll_up(state, [STREAM])
    assert len(segment_names(state / "audit" / STREAM)) > 4
    found = verify(state)
    assert (found.issues, found.notes) == ((), ())
    assert key_of(state).name in found.keys.vkeys[0]
