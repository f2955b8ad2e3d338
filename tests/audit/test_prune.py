"""Prune: what stays can still be proved, and nothing goes that has to stay."""

import json
import random
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from authz.audit import get_audit_events
from authz.audit.archive import archive
from authz.audit.compress import compress_sealed
from authz.audit.extent import Extent, extents
from authz.audit.hold import Hold, add_hold, holds, lift_hold
from authz.audit.location import LedgerDamagedError
from authz.audit.offline import offline_records
from authz.audit.prune import PrunedStream, PruneRequest, prune
from authz.audit.prune_record import read_pruned
from authz.audit.pruned import prunes
from authz.audit.published import fetch_tile, public_keys, signed_checkpoint
from authz.audit.record import chain_hash
from authz.audit.segment import segment_names
from authz.core import BadRequestError
from authz.tlog import (
    Checkpoint,
    TiledTree,
    TileReader,
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

from .days import EACH_DAY, live, midnight, names, records_before, sign, snapshot
from .ledger import STREAM, lines
from .published import leaves, publish


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a signed ledger of ten days."""
    live(tmp_path / "state", 0, 10)
    sign(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def drop(state: Path, before: str, **options: object) -> PrunedStream:
    """Prune the one stream without an archive, by default."""
    request = PruneRequest(before=before, archive=None, streams=[STREAM])._replace(**options)  # type: ignore[arg-type]
    [done] = prune(state / "audit", request)
    return done


def held(state: Path) -> set[str]:
    return {path.name for path in (state / "audit" / STREAM).iterdir() if path.suffix in {".jsonl", ".zst"}}


def assert_provable(state: Path, found: list[bytes], index: int, size: int) -> None:
    """From the tiles on disk: the tree at every size from `index` on, and every leaf from there on."""
    tiles = state / "audit" / "tiles" / STREAM
    reader = TileReader(lambda path: fetch_tile(tiles, path), size)
    root = tree_root(size, reader)
    note = (tiles / "checkpoint").read_bytes()
    assert signed_checkpoint(note, STREAM, public_keys(state / "audit")) == Checkpoint(
        f"ledger.example/node/{STREAM}", size, root
    )
    for old in range(index, size + 1):
        old_root = tree_root(old, reader)
        verify_consistency(old, size, consistency_proof(old, size, reader), old_root, root)
    for leaf in range(index, size):
        verify_inclusion(leaf, size, found[leaf], inclusion_proof(leaf, size, reader), root)


def test_what_stays_can_be_proved_from_the_tiles(state: Path) -> None:
    """Inclusion of every record that stays, consistency of every later size; level 0 before the cut is gone."""
    found, size, index = leaves(state / "audit" / STREAM), sign(state), records_before(state, names(state)[4])
    done = drop(state, midnight(4))
    assert (done.minimum_index, done.refused) == (index, None)
    tiles = state / "audit" / "tiles" / STREAM / "tile"
    assert sorted(int(path.name) for path in (tiles / "0").iterdir() if path.is_file()) == list(
        range(index // 256, size // 256)
    )
    assert (tiles / "1").is_dir()
    assert_provable(state, found, index, size)


def test_the_record_says_what_went(state: Path) -> None:
    """With it and the tiles the tree goes on: number, hashes, chain, names, sizes and digests of the files."""
    found, gone = leaves(state / "audit" / STREAM), names(state)[:4]
    last = lines(state / "audit")[records_before(state, names(state)[4]) - 1]
    sizes = [(state / "audit" / STREAM / name).stat().st_size for name in gone]
    drop(state, midnight(4), reason="asked by legal")
    [line] = offline_records(state / "audit", "audit.prune")
    record = read_pruned(line)
    assert record is not None
    assert (record.stream, record.chain_hash, record.archive_sha256, record.reason) == (
        STREAM,
        chain_hash(last).decode(),
        None,
        "asked by legal",
    )
    assert [(one.name, one.size_bytes) for one in record.segments] == list(zip(gone, sizes, strict=True))
    tree = record.tree()
    tree.extend(found[tree.size :])
    assert tree.size == len(found)
    reader = TileReader(lambda path: fetch_tile(state / "audit" / "tiles" / STREAM, path), len(found))
    assert tree.root() == tree_root(len(found), reader)


def test_the_tree_can_be_taken_up_at_the_cut(state: Path) -> None:
    """Though every partial tile that came later is lost: what was needed of them was made durable before."""
    drop(state, midnight(4))
    index = prunes(state / "audit")[STREAM][-1].minimum_index
    tiles = state / "audit" / "tiles" / STREAM
    size = signed_checkpoint((tiles / "checkpoint").read_bytes(), STREAM, public_keys(state / "audit")).size
    for path in list(tiles.rglob("*.p/*")):
        level_width = size >> 8 * int(path.parent.parent.name)
        if int(path.name) == level_width % 256 and size != index:
            path.unlink()
    tree = TiledTree.read(lambda path: fetch_tile(tiles, path), index)
    assert tree.compact_range().hashes == prunes(state / "audit")[STREAM][-1].tree().hashes


def test_a_second_prune_goes_on_from_the_first(state: Path) -> None:
    """Its record is of all that is gone; proofs hold as before; growth in between is no hindrance."""
    found = leaves(state / "audit" / STREAM)
    drop(state, midnight(3))
    live(state, 11, 3)
    grown = found + leaves(state / "audit" / STREAM)[len(found) - records_before(state, names(state)[0]) :]
    publish(state, STREAM, hashes=grown)
    index = records_before(state, names(state)[5])
    done = drop(state, midnight(8))
    assert (done.minimum_index, done.refused, done.segments[0]) == (index, None, done.segments[0])
    first, second = prunes(state / "audit")[STREAM]
    assert second.minimum_index == index
    assert not {one.name for one in first.segments} & {one.name for one in second.segments}
    assert len(first.segments) + len(second.segments) == 8
    assert_provable(state, grown, index, len(grown))
    assert drop(state, midnight(8)) == PrunedStream(stream=STREAM, minimum_index=index)


@pytest.mark.parametrize("compressed", [False, True])
def test_search_goes_on_over_what_stays(state: Path, compressed: bool) -> None:
    """Events of the days that stay, and none of the others, whatever form the segments have."""
    if compressed:
        compress_sealed(state / "audit")
    stream, wanted = state / "audit" / STREAM, "memory.accessed"
    kept = [each["id"] for each in get_audit_events(path=stream, since=midnight(4), limit=10_000, type=wanted)]
    drop(state, midnight(4))
    assert [each["id"] for each in get_audit_events(path=stream, limit=10_000, type=wanted)] == kept
    assert len(kept) == 6 * EACH_DAY


def test_a_search_that_meets_a_prune_finds_what_stays(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that it listed and that are gone when it comes to them are no error."""
    stream, query = state / "audit" / STREAM, import_module("authz.audit.query")

    def listed_before(directory: Path, since: str = "") -> list[Extent]:
        found = extents(directory, since)
        if len(found) > 8:
            drop(state, midnight(4))
        return found

    monkeypatch.setattr(query, "extents", listed_before)
    assert len(get_audit_events(path=stream, limit=10_000, type="memory.accessed")) == 6 * EACH_DAY


def test_the_newest_two_segments_stay_whatever_their_age(state: Path) -> None:
    """The writer goes on from them; that is no refusal."""
    youngest = names(state)[-2:]
    done = drop(state, midnight(10_000))
    assert done.refused is None
    assert names(state) == youngest
    live(state, 20, 1)
    assert names(state)[:2] == youngest


def test_what_is_not_covered_stays(state: Path) -> None:
    """Up to the last record of a segment; without a checkpoint everything does."""
    first, index = names(state), records_before(state, names(state)[3])
    publish(state, STREAM, index - 1)
    done = drop(state, midnight(9))
    assert len(done.segments) == 2
    assert done.refused == (
        f"{STREAM}/{first[2]} and what follows it stays: the signed checkpoint covers {index - 1} records of the "
        f"stream, and it ends with record {index}"
    )
    shutil.rmtree(state / "audit" / "tiles" / STREAM)
    assert drop(state, midnight(9)).segments == ()


def test_a_hold_keeps_what_it_covers_and_all_after_it(state: Path) -> None:
    """Until it is lifted; the prune says which hold and why."""
    hold = add_hold(state / "audit", "case 4711", STREAM, midnight(4), midnight(5))
    sign(state)
    done = drop(state, midnight(9))
    assert len(done.segments) == 4
    assert (
        done.refused
        == f"{STREAM}/{names(state)[0]} and what follows it stays: it is under the hold {hold.hold} (case 4711)"
    )
    assert holds(state / "audit") == (hold,)
    lift_hold(state / "audit", hold.hold, "case closed")
    assert holds(state / "audit") == ()
    assert drop(state, midnight(9)).refused is None


@pytest.mark.parametrize(
    ("stream", "since", "until", "kept"),
    [
        (None, None, None, True),
        ("cli", None, None, False),
        (STREAM, None, "2000-01-01T00:00:00.000000Z", False),
        (None, "2000-01-01T00:00:00.000000Z", None, True),
    ],
)
def test_a_hold_may_name_a_stream_and_a_time_or_neither(
    state: Path, stream: str | None, since: str | None, until: str | None, kept: bool
) -> None:
    """Without either it covers everything."""
    if stream == "cli":
        lift_hold(state / "audit", add_hold(state / "audit", "so that cli is there", None, None, None).hold, "done")
    add_hold(state / "audit", "because", stream, since, until)
    assert (drop(state, midnight(5)).segments == ()) is kept


def test_a_hold_covers_the_moment_it_begins_with_and_not_the_one_it_ends_with() -> None:
    """A segment is under it if one of its records is, and so is one of a stream that goes on after the one it names."""
    hold = Hold(hold="h", stream="main", since="2026-03-02", until="2026-03-04", reason="r", uid=0)
    spans = [("01", "01"), ("01", "02"), ("02", "03"), ("03", "09"), ("01", "09"), ("04", "09")]
    covered = [hold.covers("main", f"2026-03-{first}", f"2026-03-{last}") for first, last in spans]
    assert covered == [False, True, True, True, True, False]
    streams = ["main", "main.1", "main.12", "main2", "other", "mai", "main.x"]
    assert [name for name in streams if hold.covers(name, "2026-03-02", "2026-03-03")] == ["main", "main.1", "main.12"]


def test_a_hold_that_cannot_be_meant_is_refused(state: Path) -> None:
    """A name that is no stream's would hold nothing, and be believed to hold something."""
    for arguments in (("r", "mian", None, None), ("r", None, midnight(2), midnight(2)), (" ", None, None, None)):
        with pytest.raises(BadRequestError):
            add_hold(state / "audit", *arguments)
    with pytest.raises(BadRequestError, match="there is no 'x'; in force are none"):
        lift_hold(state / "audit", "x", "r")


def test_what_is_not_archived_stays(state: Path, to: Path) -> None:
    """Only what the archive holds goes, and the record names the archive's manifest."""
    publish(state, STREAM, records_before(state, names(state)[3]))
    [archived] = archive(state / "audit", to, [STREAM])
    sign(state)
    fourth = names(state)[3]
    done = drop(state, midnight(9), archive=to)
    assert len(done.segments) == 3
    assert done.refused == f"{STREAM}/{fourth} and what follows it stays: {to} does not hold it"
    assert prunes(state / "audit")[STREAM][-1].archive_sha256 == archived.manifest_sha256


def test_a_copy_that_is_not_what_the_archive_says_is_no_copy(state: Path, to: Path) -> None:
    """It is read back before anything goes; then nothing goes."""
    archive(state / "audit", to, [STREAM])
    sign(state)
    copy = to / "audit" / STREAM / f"{names(state)[1]}.zst"
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.chmod(0o600)
    copy.write_bytes(data)
    before = held(state)
    done = drop(state, midnight(9), archive=to)
    assert done.refused == f"{copy} is not a copy of {STREAM}/{names(state)[1]}"
    assert (held(state), prunes(state / "audit")) == (before, {})


@pytest.mark.parametrize("where", [".", "audit", "audit/main", "link"])
def test_the_ledger_is_not_its_own_archive(state: Path, where: str) -> None:
    """A prune would drop the only copy."""
    (state.parent / "link").symlink_to(state)
    itself = state / where if where != "link" else state.parent / "link"
    compress_sealed(state / "audit")
    for attempt in (lambda: archive(state / "audit", itself), lambda: drop(state, midnight(9), archive=itself)):
        with pytest.raises(BadRequestError, match="is the ledger itself"):
            attempt()


def test_a_dry_run_changes_nothing_and_says_the_same(state: Path, to: Path) -> None:
    """Not one byte of the state directory, not even a record."""
    archive(state / "audit", to, [STREAM])
    sign(state)
    before = snapshot(state)
    dry = drop(state, midnight(6), archive=to, dry_run=True)
    assert snapshot(state) == before
    assert drop(state, midnight(6), archive=to) == dry
    assert len(dry.segments) == 6


def test_what_was_changed_is_not_dropped(state: Path) -> None:
    """Evidence of tampering stays: in the chain, or made to fit and unlike what was signed."""
    path = state / "audit" / STREAM / names(state)[2]
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data.replace(b'"subject":"h1:k:s"', b'"subject":"h1:k:t"', 1))
    before = held(state)
    done = drop(state, midnight(6))
    assert done.refused is not None
    assert "is not what was recorded" in done.refused
    path.write_bytes(data)
    publish(state, STREAM, hashes=[b"?" * 32, *leaves(path.parent)[1:]])
    done = drop(state, midnight(6))
    assert done.refused is not None
    assert "are not those that were signed" in done.refused
    assert held(state) == before
    assert prunes(state / "audit") == {}


def test_the_streams_of_commands_are_never_pruned(state: Path) -> None:
    """They say what was pruned and what is held."""
    drop(state, midnight(2))
    sign_commands = snapshot(state / "audit" / "cli")
    publish(state, "cli")
    done = prune(state / "audit", PruneRequest(before=midnight(10_000), archive=None))
    assert [one.stream for one in done] == [STREAM]
    with pytest.raises(BadRequestError, match="never pruned"):
        drop(state, midnight(3), streams=["cli"])
    after = snapshot(state / "audit" / "cli")
    assert {name: after[name] for name in sign_commands if name.endswith(".jsonl")} == {
        name: data for name, data in sign_commands.items() if name.endswith(".jsonl")
    }


@pytest.mark.parametrize("how", ["cut", "rewritten", "changed", "changed before it was signed"])
def test_nothing_is_pruned_where_holds_cannot_be_relied_on(state: Path, how: str) -> None:
    """A hold that somebody cut off, rewrote or changed is missed by the chain or by the signed tree."""
    add_hold(state / "audit", "keep it", None, None, None)
    lift_hold(state / "audit", add_hold(state / "audit", "another", None, None, None).hold, "no more")
    if how != "changed before it was signed":
        sign(state)
    directory = state / "audit" / "cli"
    if how == "cut":
        (directory / segment_names(directory)[-1]).unlink()
    elif how == "rewritten":
        shutil.rmtree(directory)
        add_hold(state / "audit", "something harmless", "main", None, "2000-01-01T00:00:00.000000Z")
    else:
        path = directory / segment_names(directory)[0]
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"keep it", b"keep IT"))
    before = held(state)
    with pytest.raises(LedgerDamagedError, match="no hold in it can be relied on"):
        drop(state, midnight(6))
    assert held(state) == before


def test_what_a_crash_left_is_finished_from_the_record(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run, whatever it is asked, removes what the record names; it needs no second record."""
    with monkeypatch.context() as patch:
        patch.setattr(import_module("authz.audit.prune"), "remove", _crash_unless_nothing)
        with pytest.raises(KeyboardInterrupt):
            drop(state, midnight(4))
    assert len(prunes(state / "audit")[STREAM]) == 1
    (state / "audit" / STREAM / names(state)[0]).unlink()  # it got as far as the first one
    sign_later = drop(state, midnight(0))
    assert len(sign_later.finished) == 3
    assert sign_later.segments == ()
    assert len(prunes(state / "audit")[STREAM]) == 1
    tiles = state / "audit" / "tiles" / STREAM / "tile" / "0"
    index = records_before(state, names(state)[0])
    assert min(int(path.name) for path in tiles.iterdir() if path.is_file()) == index // 256


def _crash_unless_nothing(directory: Path, tiles: Path, records: list[object], *rest: object) -> object:
    from authz.audit.removal import Removal

    if records:
        raise KeyboardInterrupt
    return Removal()


def test_a_file_that_is_not_what_was_pruned_is_left(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is no licence to remove something else under the same name, nor what came under a hold meanwhile."""
    with monkeypatch.context() as patch:
        patch.setattr(import_module("authz.audit.prune"), "remove", _crash_unless_nothing)
        with pytest.raises(KeyboardInterrupt):
            drop(state, midnight(3))
    first, second, third = (state / "audit" / STREAM / name for name in names(state)[:3])
    first.chmod(0o600)
    first.write_bytes(first.read_bytes() + b"\n")
    hold = add_hold(state / "audit", "just in time", STREAM, midnight(2), midnight(3))
    sign_later = drop(state, midnight(0))
    assert sign_later.finished == (second.name,)
    assert sign_later.refused == (
        f"{STREAM}/{first.name} is left: it is not the segment that the prune record names; "
        f"{STREAM}/{third.name} is left: it is under the hold {hold.hold} (just in time)"
    )
    assert first.exists()
    assert third.exists()


@pytest.mark.slow
def test_any_history_of_growth_and_pruning_keeps_all_proofs(tmp_path: Path) -> None:
    """Days of any length, prunes at any time: after each, what stays is proved by what is on disk."""
    chance = random.Random(4)
    state, day = tmp_path / "state", 0
    found: list[bytes] = []
    for _ in range(6):
        length = chance.randint(1, 4)
        before = len(found)
        live(state, day, length, chance.choice([5, 100, 256, 300]))
        day += length + 1
        known = prunes(state / "audit").get(STREAM, [])
        index = known[-1].minimum_index if known else 0
        found = found[:before] + leaves(state / "audit" / STREAM)[before - index :]
        size = publish(state, STREAM, hashes=found)
        if (state / "audit" / "cli").is_dir():
            publish(state, "cli")
        done = drop(state, midnight(chance.randint(0, day)))
        assert done.refused is None
        assert_provable(state, found, done.minimum_index, size)
    assert json.loads(lines(state / "audit")[-1])["seq"] == len(found)
