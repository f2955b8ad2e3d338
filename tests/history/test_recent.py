"""The newest decisions put to the next policy: the counts of asking again, against the policy in force."""

import json
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authz import bundle
from authz.audit import LedgerDamagedError, newest_records
from authz.audit.compress import compress_sealed
from authz.bundle import Bundle, read
from authz.core import Event
from authz.history import ReadsUnrecordedError, Recent, replay_recent, stated_reads
from authz.policy import build, opened
from tests.audit.signed_ledger import append, append_all
from tests.fakes import House
from tests.history.decided import SHIPPED, Asked, decide
from tests.policy.conftest import SMALLEST

SAMPLE = 500


def plain(event: Event) -> dict[str, Any]:
    """The body of a decision's event."""
    found: dict[str, Any] = msgspec.json.decode(getattr(event.body, "text", None) or msgspec.json.encode(event.body))
    return found


def bodies(house: House) -> list[dict[str, Any]]:
    """What was decided, in its order."""
    return [plain(event) for event in house.ledger.events]


def flipping(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Brute force: which decisions are another yes or no, by what was asked and the reason that it would have."""
    return Counter(
        (f"{old['action']} {old.get('route', 'no route')}" if old["action"] != "use" else "scope", new["reason"])
        for old, new in zip(before, after, strict=True)
        if (old["decision"] == "allow") != (new["decision"] == "allow")
    )


def told(found: Recent) -> Counter[tuple[str, str]]:
    """The same of a replay."""
    counts: Counter[tuple[str, str]] = Counter()
    for flip in found.replay.flips:
        counts[flip.where, flip.after] += flip.decisions
    return counts


def revised(found: Bundle, revision: str) -> Bundle:
    """The same policy under another name."""
    return msgspec.structs.replace(found, revision=revision)


def test_the_newest_decisions_flip_as_asking_again_says(state: Path, candidate: str, questions: Asked) -> None:
    """Of the newest 500, by place and reason, exactly those flip that deciding the raw requests anew gives."""
    found = replay_recent(state, SAMPLE, read(Path(SHIPPED)), read(Path(candidate)))
    before, after = (bodies(decide(opened(each).policy, questions))[-SAMPLE:] for each in (SHIPPED, candidate))
    assert (found.replay.decisions, found.left_out) == (SAMPLE, 0)
    assert told(found) == flipping(before, after)
    assert found.replay.flipped > 20


def test_what_flipped_at_the_last_change_does_not_flip_at_the_next(state: Path, candidate: str) -> None:
    """With the candidate in force already, decisions that were made before it count as it decides them."""
    active = revised(read(Path(candidate)), "active")
    found = replay_recent(state, SAMPLE, active, revised(active, "next"))
    assert (found.replay.flips, found.replay.untold, found.left_out) == ((), (), 0)
    back = replay_recent(state, SAMPLE, active, read(Path(SHIPPED)))
    assert back.replay.flipped == replay_recent(state, SAMPLE, read(Path(SHIPPED)), active).replay.flipped


def test_decisions_of_a_policy_that_cannot_be_asked_are_left_out(state: Path, candidate: str) -> None:
    """Where the bundle in force does not say what it reads, earlier revisions' decisions are not guessed at."""
    silent = without_reads(revised(read(Path(candidate)), "silent"))
    found = replay_recent(state, SAMPLE, silent, read(Path(candidate)))
    assert (found.replay.decisions, found.left_out) == (0, SAMPLE)
    with pytest.raises(ReadsUnrecordedError, match="does not say what it reads"):
        replay_recent(state, SAMPLE, read(Path(SHIPPED)), silent)


def without_reads(found: Bundle) -> Bundle:
    """A bundle as versions before this one built it."""
    manifest = json.loads(found.members[bundle.MANIFEST])
    del manifest["metadata"]["authz"]["reads"]
    return msgspec.structs.replace(found, manifest=msgspec.convert(manifest, bundle.Manifest))


def test_a_bundle_states_what_no_record_has(tmp_path: Path, opa_binary: Path) -> None:
    """A policy that compares an ID with a name builds, and is refused where it would be replayed, by name."""
    out = tmp_path / "named.tar.gz"
    rego = SMALLEST + '\ndecision := {"allow": true, "reason": "a", "scopes": []} if input.subject.id == "alice"\n'
    (tmp_path / "sources" / "authz").mkdir(parents=True)
    (tmp_path / "sources" / "authz" / "authz.rego").write_text(rego)
    build(tmp_path / "sources", out, opa_binary)
    with pytest.raises(ReadsUnrecordedError, match=r"uses input\.subject\.id other than"):
        stated_reads(read(out))


def test_the_newest_records_come_backwards_over_segments(state: Path, tmp_path: Path) -> None:
    """All of them, raw or compressed, newest first."""
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    compress_sealed(copied / "audit")
    assert list((copied / "audit" / "main").glob("*.zst"))
    assert list(newest_records(copied)) == _lines(state)[::-1]


def _lines(state: Path) -> list[bytes]:
    paths = sorted((state / "audit" / "main").glob("*.jsonl"))
    return [line for path in paths for line in path.read_bytes().splitlines()]


def test_a_changed_record_among_the_newest_is_damage(state: Path, tmp_path: Path) -> None:
    """Whatever was changed behind what is taken is found, and before it nobody looks."""
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    path = sorted((copied / "audit" / "main").glob("*.jsonl"))[-1]
    text = path.read_bytes()
    cut = text.find(b'"action":"GET"', len(text) // 2)
    path.write_bytes(text[:cut] + b'"action":"PUT"' + text[cut + 14 :])
    behind = text.count(b"\n", cut)
    assert len(list(islice(newest_records(copied), behind - 1))) == behind - 1
    with pytest.raises(LedgerDamagedError, match="not chained to"):
        list(newest_records(copied))


def test_streams_come_newest_first_and_the_nodes_own_is_left_out(tmp_path: Path) -> None:
    """A stream that took another's place is read before it; roll-ups are no decisions of callers."""
    audit = tmp_path / "audit"
    for stream, name in (("worker-0", "old"), ("worker-0.2", "new"), ("auditor", "node")):
        append(audit, stream, [Event(name, "memory.accessed", {"subject": "h1:k:s"})])
    found = [json.loads(line) for line in newest_records(tmp_path)]
    assert [each["id"] for each in found if each["type"] == "memory.accessed"] == ["new", "old"]


def test_an_empty_ledger_has_nothing_to_say(tmp_path: Path) -> None:
    """No decision is none that flips."""
    append_all(tmp_path / "audit", "worker-0", [])
    found = replay_recent(tmp_path, SAMPLE, read(Path(SHIPPED)), revised(read(Path(SHIPPED)), "next"))
    assert (found.replay.decisions, found.replay.flips, found.left_out) == (0, (), 0)
