"""Archive: nothing counts before it was read back, nothing is replaced, and the archive alone proves itself."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.audit.archive import archive
from authz.audit.archive_check import CheckedStream, check_archive
from authz.audit.frames import open_compressed
from authz.audit.location import LedgerUnreadableError
from authz.audit.offline import offline_records
from authz.audit.prune import PruneRequest, prune
from authz.audit.published import public_keys
from authz.audit.segment import segment_names

from .days import live, midnight, names, records_before, sign, snapshot
from .ledger import STREAM, FaultyFiles
from .published import leaves, publish


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a signed ledger of six days."""
    live(tmp_path / "state", 0, 6)
    sign(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def check(state: Path, to: Path) -> tuple[CheckedStream, ...]:
    return check_archive(to, public_keys(state / "audit"))


def damage(state: Path, to: Path) -> str:
    [found] = [each for each in check(state, to) if each.stream == STREAM]
    return found.damage or ""


def test_an_archive_holds_every_byte_and_proves_itself(state: Path, to: Path) -> None:
    """All sealed segments, the tree and its signed head; with the public key alone it is found whole."""
    [done] = archive(state / "audit", to)
    assert done.segments == tuple(names(state))
    assert done.refused is None
    for name in names(state):
        with open_compressed(to / "audit" / STREAM / f"{name}.zst") as file:
            assert file.read() == (state / "audit" / STREAM / name).read_bytes()
    assert check(state, to) == (
        CheckedStream(stream=STREAM, end=done.end, segments=len(names(state)), manifest_sha256=done.manifest_sha256),
    )
    assert {path.stat().st_mode & 0o777 for path in to.rglob("*") if path.is_file() and path.suffix != ".lock"} == {
        0o440
    }
    assert list(to.rglob("*.part")) == []


def test_it_is_recorded_once_it_is_whole(state: Path, to: Path) -> None:
    """In the stream of commands: which archive, how far, and the digest that stands for all of it."""
    [done] = archive(state / "audit", to)
    [line] = offline_records(state / "audit", "audit.archived")
    record = json.loads(line)
    assert {name: record[name] for name in ("archive", "stream", "end", "manifest_sha256")} == {
        "archive": str(to),
        "stream": STREAM,
        "end": done.end,
        "manifest_sha256": done.manifest_sha256,
    }


def test_doing_it_again_changes_nothing(state: Path, to: Path) -> None:
    """Neither the archive nor the ledger; what came since is added by a manifest that names the one before."""
    archive(state / "audit", to)
    sign(state)
    archive(state / "audit", to)  # now the commands of the first run are archived as well
    before = (snapshot(to), snapshot(state))
    again = archive(state / "audit", to)
    assert [(one.segments, one.refused) for one in again] == [((), None)] * 2
    assert (snapshot(to), snapshot(state)) == before
    known = names(state)
    live(state, 10, 2)
    sign(state)
    [more] = archive(state / "audit", to, [STREAM])
    assert more.segments == tuple(names(state)[len(known) :])
    after = snapshot(to)
    assert {name: after[name] for name in before[0]} == before[0]
    assert [(one.segments, one.damage) for one in check(state, to) if one.stream == STREAM] == [
        (len(names(state)), None)
    ]


def test_only_what_a_checkpoint_covers_is_archived(state: Path, to: Path) -> None:
    """Up to the last record of a segment; without a checkpoint there is nothing to hold a copy to."""
    publish(state, STREAM, records_before(state, names(state)[3]) - 1)
    [done] = archive(state / "audit", to)
    assert done.segments == tuple(names(state)[:2])
    shutil.rmtree(state / "audit" / "tiles")
    [refused] = archive(state / "audit", to.with_name("other"), [STREAM])
    assert (refused.segments, refused.refused) == ((), "main has no signed checkpoint: the auditor has not run")


def test_a_compressed_segment_is_copied_as_it_is(state: Path, to: Path) -> None:
    """The same bytes on both sides."""
    from authz.audit.compress import compress_sealed

    compress_sealed(state / "audit")
    archive(state / "audit", to)
    local = sorted((state / "audit" / STREAM).glob("*.zst"))
    assert len(local) == len(names(state)) - 2
    assert [(to / "audit" / STREAM / path.name).read_bytes() for path in local] == [path.read_bytes() for path in local]
    assert damage(state, to) == ""


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "sync_directory"])
def test_a_run_that_failed_is_taken_up_where_it_stopped(state: Path, to: Path, operation: str) -> None:
    """At whichever file: nothing counts until the manifest is there, and the next run completes it."""
    failures = 0
    for nth in range(0, 60, 4):
        files = FaultyFiles()
        files.fail(operation, *[None] * nth, errno.ENOSPC)
        try:
            archive(state / "audit", to, [STREAM], files=files)
        except LedgerUnreadableError:
            failures += 1
        else:
            break
        assert list(to.rglob("*.part")) == []
        assert list((to / "manifests").glob("*/*")) == [] or damage(state, to) == ""
    assert failures > 1
    [done] = archive(state / "audit", to, [STREAM])
    assert done.end == records_before(state, names(state)[-1]) + len(
        (state / "audit" / STREAM / names(state)[-1]).read_bytes().splitlines()
    )
    assert damage(state, to) == ""
    assert len(list(offline_records(state / "audit", "audit.archived"))) == 1


def test_another_file_of_the_same_name_ends_it(state: Path, to: Path) -> None:
    """It is not replaced, and the stream is not archived."""
    other = to / "audit" / STREAM / f"{names(state)[1]}.zst"
    archive(state / "audit", to.with_name("elsewhere"), [STREAM])
    other.parent.mkdir(parents=True)
    shutil.copy(to.with_name("elsewhere") / "audit" / STREAM / f"{names(state)[2]}.zst", other)
    before = other.read_bytes()
    [done] = archive(state / "audit", to, [STREAM])
    assert done.refused is not None
    assert done.refused.startswith(f"{other}: something else is archived under this name")
    assert other.read_bytes() == before
    assert not (to / "manifests").exists()


def test_an_archive_of_another_ledger_is_not_added_to(state: Path, to: Path, tmp_path: Path) -> None:
    """Though its streams have the same names."""
    live(tmp_path / "second", 0, 9)
    sign(tmp_path / "second")
    archive(tmp_path / "second" / "audit", to)
    before = snapshot(to)
    live(state, 10, 6)
    sign(state)
    [done] = [one for one in archive(state / "audit", to) if one.stream == STREAM]
    assert done.refused is not None
    assert snapshot(to) == before


def test_a_segment_that_is_not_what_was_signed_is_not_archived(state: Path, to: Path) -> None:
    """Changed and made to fit: the signed tree tells, and it is said."""
    path = state / "audit" / STREAM / names(state)[-1]
    path.chmod(0o600)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b'"shutdown"', b'"SHUTDOWN"'))
    [done] = archive(state / "audit", to)
    assert done.refused is not None
    assert "are not those that were signed" in done.refused
    assert done.segments == ()


def _flip(path: Path, at: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _edit(to: Path, keys: tuple[str | int, ...], value: object) -> None:
    """Change what the newest manifest says."""
    path = max((to / "manifests" / STREAM).iterdir())
    document = json.loads(path.read_bytes())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.chmod(0o600)
    path.write_text(json.dumps(document))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a segment": (lambda to: _flip(next((to / "audit" / STREAM).iterdir())), "is not what the manifest says"),
    "a segment gone": (lambda to: next((to / "audit" / STREAM).iterdir()).unlink(), "No such file"),
    "a byte of a manifest": (lambda to: _flip(next((to / "manifests" / STREAM).iterdir())), "is not a manifest"),
    "where a manifest ends": (
        lambda to: _edit(to, ("end", "chain_hash"), "0" * 64),
        "does not end where its segments end",
    ),
    "what a manifest says of a file": (lambda to: _edit(to, ("segments", 0, "sha256"), "0" * 64), "is not what the"),
    "manifests gone": (lambda to: next((to / "manifests" / STREAM).iterdir()).unlink(), "are missing"),
    "a byte of the checkpoint": (lambda to: _flip(next((to / "checkpoints" / STREAM).iterdir())), "not to be believed"),
    "the checkpoint gone": (lambda to: next((to / "checkpoints" / STREAM).iterdir()).unlink(), "No such file"),
    "a byte of a tile": (
        lambda to: _flip(to / "audit/tiles" / STREAM / "tile/0/001"),
        "does not fit the tile above it",
    ),
    "a tile gone": (lambda to: (to / "audit/tiles" / STREAM / "tile/0/000").unlink(), "there is no tile/0/000"),
}


@pytest.mark.parametrize(("change", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_whatever_is_wrong_with_an_archive_is_found(
    state: Path, to: Path, change: Callable[[Path], object], said: str
) -> None:
    """With the archive and the public key alone."""
    archive(state / "audit", to)
    change(to)
    assert said in damage(state, to)


def test_records_that_were_never_signed_are_found(state: Path, to: Path, tmp_path: Path) -> None:
    """Other records that fit together, with a manifest of their own, beside the true checkpoint and the true tiles."""
    archive(state / "audit", to, [STREAM])
    live(tmp_path / "second", 0, 6)
    sign(tmp_path / "second")
    forged = tmp_path / "forged"
    archive(tmp_path / "second" / "audit", forged, [STREAM])
    for part in ("checkpoints", "audit/tiles"):
        shutil.rmtree(forged / part)
        shutil.copytree(to / part, forged / part)
    true = json.loads(next((to / "manifests" / STREAM).iterdir()).read_bytes())
    for name in ("checkpoint_size", "checkpoint_sha256", "origin"):
        _edit(forged, (name,), true[name])
    assert "are not those that were signed" in damage(state, forged)


def test_an_archive_that_missed_what_was_pruned_is_not_added_to(state: Path, to: Path) -> None:
    """It would have a hole. Another one begins where the ledger begins now, and says so."""
    publish(state, STREAM, records_before(state, names(state)[1]))
    archive(state / "audit", to, [STREAM])
    size = sign(state)
    hashes = leaves(state / "audit" / STREAM)
    prune(state / "audit", PruneRequest(midnight(3), None))
    publish(state, STREAM, size, hashes)
    [done] = archive(state / "audit", to, [STREAM])
    assert done.refused is not None
    assert "what followed is not here any more" in done.refused
    other = to.with_name("other")
    assert archive(state / "audit", other, [STREAM])[0].refused is None
    [found] = check(state, other)
    assert (found.damage, found.begin) == (None, records_before(state, names(state)[0]))


def test_the_first_manifest_cannot_be_left_out(state: Path, to: Path) -> None:
    """Nor one in between: each names the one before it."""
    archive(state / "audit", to, [STREAM])
    live(state, 10, 2)
    sign(state)
    archive(state / "audit", to, [STREAM])
    min((to / "manifests" / STREAM).iterdir()).unlink()
    assert "does not go on from the manifest before it" in damage(state, to)


def test_a_key_that_did_not_sign_it_proves_nothing(state: Path, to: Path, tmp_path: Path) -> None:
    """The archive's own word for its key is not asked."""
    live(tmp_path / "second", 0, 1)
    sign(tmp_path / "second")
    archive(state / "audit", to)
    [found] = check_archive(to, public_keys(tmp_path / "second" / "audit"))
    assert found.damage is not None
    assert "not to be believed" in found.damage
    assert segment_names(to / "audit" / STREAM) == names(state)
