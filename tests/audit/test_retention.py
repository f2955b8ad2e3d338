"""The life of a record from its segment to the archive, end to end: nothing about it ever stops being provable."""

from pathlib import Path

import pytest

from authz.audit import (
    PruneRequest,
    archive,
    check_archive,
    check_proof,
    compress_sealed,
    get_audit_events,
    prove,
    prune,
    public_keys,
    verify,
)
from authz.audit.segment import first_seq, void_names
from authz.audit.stored import open_segment

from .days import EACH_DAY, live, midnight, names, sign
from .ledger import STREAM
from .published import leaves, publish


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A signed ledger of six days; what was sealed is compressed."""
    live(tmp_path / "state", 0, 6)
    sign(tmp_path / "state")
    compress_sealed(tmp_path / "state" / "audit")
    return tmp_path / "state"


def retire(state: Path, to: Path, before: str, hashes: list[bytes]) -> None:
    """What an operator's timer does, with the auditor at work beside it."""
    for done in archive(state / "audit", to, [STREAM]):
        assert done.refused is None
    publish(state, "cli")
    for each in prune(state / "audit", PruneRequest(before, to, streams=[STREAM])):
        assert each.refused is None
    publish(state, "cli")
    publish(state, STREAM, hashes=hashes)


def test_archive_prune_verify_events_prove(state: Path, tmp_path: Path) -> None:
    """Twice over, with growth in between: intact, covered to the last record, searchable, provable, archived."""
    to, keys = tmp_path / "archive", public_keys(state / "audit")
    hashes = leaves(state / "audit" / STREAM)
    first_day = prove(state, "d0e7")
    for day in (2, 4):
        segment = names(state)[2]
        retire(state, to, midnight(day), hashes)
        assert names(state)[0] == segment
        found = verify(state)
        assert found.issues == ()
        report = next(each for each in found.streams if each.stream == STREAM)
        assert (report.first_seq, report.last_seq, report.covered_seq) == (
            first_seq(segment),
            len(hashes),
            len(hashes),
        )
        assert "pruned" in {note.kind for note in found.notes}
        ids = [each["id"] for each in get_audit_events(path=state, limit=10_000, type="memory.accessed")]
        assert ids[-1] == f"d{day}e0"
        kept = prove(state, f"d{day}e11")
        assert check_proof(kept.proof, None, keys).header.seq == kept.seq
        live(state, 10 + day, 1)
        begun = first_seq(names(state)[0]) - 1
        hashes += leaves(state / "audit" / STREAM)[len(hashes) - begun :]
        sign_all(state, hashes)
    assert check_proof(first_day.proof, None, keys).header.seq == first_day.seq
    [archived] = check_archive(to, keys)
    assert (archived.damage, archived.begin) == (None, 0)
    assert archived.end >= 4 * EACH_DAY


def sign_all(state: Path, hashes: list[bytes]) -> None:
    publish(state, "cli")
    publish(state, STREAM, hashes=hashes)


def test_the_archive_reads_like_the_ledger_it_was(state: Path, tmp_path: Path) -> None:
    """The same bytes in every segment, the same events, and to verification a sound ledger without its newest part."""
    to = tmp_path / "archive"
    before = {name: content(state, name) for name in names(state)}
    events = get_audit_events(path=state / "audit" / STREAM, limit=10_000)
    archive(state / "audit", to, [STREAM])
    assert {name: content(to, name) for name in before} == before
    assert get_audit_events(path=to, limit=10_000) == events
    found = verify(to)
    assert (found.issues, found.streams[0].last_seq) == ((), len(events))
    assert void_names(to / "audit" / STREAM) == []


def content(root: Path, name: str) -> bytes:
    with open_segment(root / "audit" / STREAM / name) as file:
        return file.read()


def test_a_prune_that_nobody_recorded_is_damage(state: Path) -> None:
    """Removing segments by hand is not pruning."""
    path = state / "audit" / STREAM / f"{names(state)[0]}.zst"
    path.unlink()
    assert [(issue.kind, issue.segment) for issue in verify(state).issues] == [("segment_missing", names(state)[0])]
