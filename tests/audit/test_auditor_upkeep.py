"""The auditor beside compression and prune: honest upkeep is never called damage, and signing goes on after it."""

import asyncio
from pathlib import Path

import pytest

from authz.audit import PruneRequest, prune, verify
from authz.audit.auditor import AuditorProcess
from authz.audit.auditor.scrub import Scrubber
from authz.audit.auditor.signed import Head
from authz.audit.pruned import begin_of, prunes
from authz.audit.published import fetch_tile, public_keys, signed_checkpoint
from authz.audit.status import AuditorStatus, read_status
from authz.config import AuditSettings
from authz.tlog import TILE_LEVELS, TILE_WIDTH, TilePath, tiles_for

from .days import live, midnight, names
from .ledger import STREAM, SystemClock


def audited(state: Path) -> AuditorStatus:
    """One life of the auditor; what it says at its end."""

    async def life() -> None:
        process = AuditorProcess(state, AuditSettings(), SystemClock())
        await process.open()
        await process.close()

    asyncio.run(life())
    status = read_status(state)
    assert status is not None
    return status


def sound(status: AuditorStatus) -> bool:
    return not status.alarms and all(each.refused is None and each.trouble is None for each in status.streams)


def size_of(status: AuditorStatus) -> int:
    return next(each.size for each in status.streams if each.stream == STREAM)


def drop(state: Path, before: str) -> int:
    [done] = prune(state / "audit", PruneRequest(before, None, streams=[STREAM]))
    assert done.refused is None
    return done.minimum_index


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a ledger of six days, signed by the auditor."""
    live(tmp_path, 0, 6)
    assert sound(audited(tmp_path))
    return tmp_path


def test_the_auditor_compresses_what_it_has_signed(state: Path) -> None:
    """One segment at a time, the oldest first."""
    assert [path.name for path in (state / "audit" / STREAM).glob("*.zst")] == [f"{names(state)[0]}.zst"]


def test_the_auditor_goes_on_after_a_prune(state: Path) -> None:
    """It signs what comes, and verification counts from the cut to the last record."""
    index = drop(state, midnight(4))
    live(state, 10, 2)
    status = audited(state)
    assert sound(status)
    found = verify(state)
    assert found.issues == ()
    report = next(each for each in found.streams if each.stream == STREAM)
    assert (report.first_seq, report.covered_seq, report.last_seq) == (index + 1, size_of(status), size_of(status))


@pytest.mark.parametrize("days", [1, 3, 4])
@pytest.mark.parametrize("each", [3, 90, 300])
def test_power_loss_after_a_prune_is_no_tampering(tmp_path: Path, days: int, each: int) -> None:
    """The tiles that nobody made durable are lost, and the records they were of are gone: the prune kept the edge."""
    live(tmp_path, 0, 6, each)
    audited(tmp_path)
    begin = drop(tmp_path, midnight(days))
    live(tmp_path, 10, 1, each)
    size = size_of(audited(tmp_path))
    tiles = tmp_path / "audit" / "tiles" / STREAM
    kept = {str(tile) for tile in tiles_for(begin) if tile != tile.full}
    for path in tiles.glob("tile/*/**/*.p/*"):
        if str(path.relative_to(tiles)) not in kept:
            path.unlink()
    live(tmp_path, 20, 1, each)
    status = audited(tmp_path)
    assert sound(status), status
    assert size_of(status) > size
    assert verify(tmp_path).issues == ()


@pytest.mark.parametrize("steps", range(5))
def test_re_reading_meets_a_prune_and_is_not_alarmed(tmp_path: Path, steps: int) -> None:
    """Segments and tiles vanish while they are looked at, in the middle of a segment too."""
    live(tmp_path, 0, 4, each=3000)
    audited(tmp_path)
    scrubber, heads = Scrubber(tmp_path / "audit"), signed(tmp_path)
    found = [scrubber.step(heads)[1] for _ in range(steps)]
    drop(tmp_path, midnight(2))
    found += [scrubber.step(heads)[1] for _ in range(40)]
    assert [error for errors in found for error in errors] == []
    assert scrubber.status.rounds > 0


def signed(state: Path) -> dict[str, Head]:
    """What was signed of the one stream."""
    note = (state / "audit" / "tiles" / STREAM / "checkpoint").read_bytes()
    checkpoint = signed_checkpoint(note, STREAM, public_keys(state / "audit"))
    return {STREAM: Head(checkpoint.size, checkpoint.root)}


def test_re_reading_begins_where_the_ledger_begins(state: Path) -> None:
    """After a prune the tiles before the cut are gone; what is left is still held to what was signed."""
    index = drop(state, midnight(4))
    tiles = state / "audit" / "tiles" / STREAM
    assert begin_of(prunes(state / "audit")[STREAM]).size == index
    first = TilePath(0, index >> TILE_LEVELS)
    assert len(fetch_tile(tiles, str(first))) == TILE_WIDTH * 32
    path = state / "audit" / STREAM / names(state)[1]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"h1:k:s"', b'"h1:k:t"', 1))
    scrubber, heads = Scrubber(state / "audit"), signed(state)
    found = [error.kind for _ in range(40) for error in scrubber.step(heads)[1]]
    assert set(found) == {"chain_broken", "record_changed"}
