"""Replaying recorded decisions: the counts of asking again, and a refusal where records do not suffice."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authz.audit import LedgerDamagedError
from authz.audit.compress import compress_sealed
from authz.bundle import read
from authz.core import Event
from authz.history import (
    Flip,
    Fold,
    ReadsUnrecordedError,
    Replaying,
    read_profiles,
    read_verified,
    reads_of,
    routes_known,
    write_profiles,
)
from authz.history.kept import ProfileUnreadableError
from authz.policy import bundle_of, opened
from tests.audit.signed_ledger import append_all
from tests.history.decided import SHIPPED, Asked, decide, replayed


def test_counts_are_those_of_asking_again(state: Path, candidate: str, questions: Asked) -> None:
    """Flips, by kind, place and reasons, are exactly those of deciding each raw request under the candidate."""
    found = replayed(state, candidate)
    before = [event.body for event in decide(opened(SHIPPED).policy, questions).ledger.events]
    after = [event.body for event in decide(opened(candidate).policy, questions).ledger.events]
    counts: Counter[tuple[Any, ...]] = Counter()
    people: dict[tuple[Any, ...], set[str]] = {}
    for old, new in zip(map(_plain, before), map(_plain, after), strict=True):
        if (old["decision"] == "allow") != (new["decision"] == "allow"):
            kind = _kind(old, new)
            counts[kind] += 1
            people.setdefault(kind, set()).add(old["subject"])
    assert found.untold == ()
    assert found.decisions == len(before)
    assert found.observed == sum(not _plain(each).get("enforced", True) for each in before)
    told = {
        (each.change, each.where, each.scopes, each.before, each.after, each.enforced): (each.decisions, each.subjects)
        for each in found.flips
    }
    assert told == {kind: (count, len(people[kind])) for kind, count in counts.items()}
    assert {kind[0] for kind in told} == {"gain", "loss"}
    assert {kind[-1] for kind in told} == {True, False}
    assert found.same + found.flipped + found.beside == found.decisions


def _kind(old: dict[str, Any], new: dict[str, Any]) -> tuple[Any, ...]:
    gain = new["decision"] == "allow"
    where = f"{old['action']} {old['route']}" if "route" in old else f"scope {old['resource']['id']}"
    scopes = tuple((new if gain else old).get("scopes", ()))
    return "gain" if gain else "loss", where, scopes, old["reason"], new["reason"], old.get("enforced", True)


def _plain(body: Any) -> dict[str, Any]:
    encoded = getattr(body, "text", None) or msgspec.json.encode(body)
    plain: dict[str, Any] = msgspec.json.decode(encoded)
    return plain


def test_nothing_flips_under_the_policy_itself(state: Path) -> None:
    """Replayed under the policy that decided, every decision comes out the same, for the same reason."""
    found = replayed(state, SHIPPED)
    assert (found.flips, found.untold, found.other_reasons) == ((), (), 0)
    assert found.same + found.beside == found.decisions == 1500


def test_compressed_segments_are_replayed(state: Path, tmp_path: Path, candidate: str) -> None:
    """A ledger whose sealed segments are compressed gives the same replay."""
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    compress_sealed(copied / "audit")
    assert list((copied / "audit" / "main").glob("*.zst"))
    assert replayed(copied, candidate) == replayed(state, candidate)


def _told(flip: Flip) -> tuple[Any, ...]:
    return flip.change, flip.where, flip.scopes, flip.before, flip.after, flip.enforced


def test_a_profile_replays_without_the_ledger(state: Path, tmp_path: Path, candidate: str) -> None:
    """What `profile` writes holds no pseudonym and gives the same flips, without subjects; what depends on an address
    cannot be told; a cut file is refused."""
    fold = Fold()
    read_verified(fold, state)
    file = tmp_path / "profile.jsonl"
    write_profiles(file, fold.tallies)
    assert b"h1:" not in file.read_bytes()
    whole = replayed(state, candidate)
    bundle = bundle_of(candidate)
    replaying = Replaying(opened(candidate).policy, reads_of(bundle), routes_known(state, bundle, read(Path(SHIPPED))))
    replaying.take(read_profiles(file))
    found = replaying.result()
    told = {_told(each): each for each in found.flips}
    for flip in whole.flips:
        if "photos" not in flip.where:
            same = told[_told(flip)]
            assert (same.decisions, same.subjects) == (flip.decisions, None)
            assert (same.first, same.last) == (flip.first, flip.last)
    assert {each.where for each in found.untold} == {"GET /photos", "HEAD /photos"}
    assert found.decisions == whole.decisions == found.same + found.flipped + found.beside + found.unanswered
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    with pytest.raises(ProfileUnreadableError):
        read_profiles(file)


@pytest.mark.parametrize("at", [0, -1])
def test_a_tampered_segment_is_refused(state: Path, tmp_path: Path, at: int) -> None:
    """One decision turned into another, anywhere in a segment, and nothing is replayed."""
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    path = sorted((copied / "audit" / "main").glob("*.jsonl"))[at]
    text = path.read_bytes()
    cut = text.find(b'"action":"GET"', len(text) // 2)
    path.write_bytes(text[:cut] + b'"action":"PUT"' + text[cut + 14 :])
    with pytest.raises(LedgerDamagedError, match="not intact"):
        replayed(copied, SHIPPED)


TRAPS = {
    'x if input.subject.id == "alice"': "uses input.subject.id other than",
    "x if data.vips[input.subject.id]": "uses input.subject.id other than",
    "x if input.subject.id in data.vips": "uses input.subject.id other than",
    'x if {w := input.subject.id; w == "alice"}': "uses input.subject.id other than",
    "x := input.subject.id": "uses input.subject.id other than",
    'x if {s := input.subject; s.id == "alice"}': "takes input.subject as a whole",
    'x if object.get(input, ["subject", "id"], "") == "alice"': "takes input as a whole",
    'x if {walk(input, [_, v]); v == "alice"}': "takes input as a whole",
    'x if {some k; input[k].id == "alice"}': "takes input as a whole",
    'f(s) if s.id == "alice"\nx if f(input.subject)': "takes input.subject as a whole",
    'import input.subject as who\nx if who.id == "alice"': "imports input.subject",
    'x if input.resource.params.id == "42"': "uses input.resource.params.id other than",
    'x if {some n; input.resource.params[n] == "42"}': "uses input.resource.params other than",
    'x if startswith(input.resource.id, "/admin")': "reads input.resource.id",
    'p := input.resource.id\nx if {input.resource.type == "scope"; p}\ny if p': "reads input.resource.id",
    'x if input.context.device == "d1"': "reads input.context.device",
    'x if input.context.ip == "10.0.0.1"': "uses input.context.ip other than",
    'x if input.subject.properties.claims.email == "a@b"': "reads input.subject.properties.claims.email",
    'x if input.resource.properties.owner == "alice"': "reads input.resource.properties.owner",
    "x if input.context.now % 86400 < 3600": "computes (rem)",
}


@pytest.mark.parametrize("rego", TRAPS)
def test_what_no_record_has_is_refused(rego: str, opa_binary: Path) -> None:
    """A policy that reads what records hold as a pseudonym, or not at all, is refused by name, not miscounted."""
    head = "" if rego.startswith("import") else "\n"
    module = f"package authz\n{head}{rego}\n"
    bundle = msgspec.structs.replace(read(Path(SHIPPED)), members={"authz/authz.rego": module.encode()})
    with pytest.raises(ReadsUnrecordedError, match=TRAPS[rego].replace("(", r"\(").replace(")", r"\)")):
        reads_of(bundle, opa_binary)


def test_break_glass_is_no_policys_to_decide(tmp_path: Path) -> None:
    """Admin access that was taken without the policy is counted and left."""
    body = {"decision": "allow", "reason": "break_glass", "caller": "on-call", "action": "GET", "break_glass": True}
    append_all(tmp_path / "audit", "main", [Event("e1", "admin.access", body)])
    found = replayed(tmp_path, SHIPPED)
    assert (found.decisions, found.beside, found.flips) == (1, 1, ())


def authz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `authz policy` with these arguments."""
    command = [sys.executable, "-m", "authz", "policy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_gates(state: Path, candidate: str) -> None:
    """`replay` exits 1 over the limit on flips, 0 up to it, and its JSON is the same as the sentences' counts."""
    common = ("replay", "--state", str(state), "--candidate", candidate, "--recorded-under", SHIPPED)
    found = replayed(state, candidate)
    done = authz(*common, "--json", "--fail-on", "gain")
    assert (done.returncode, json.loads(done.stdout)) == (1, json.loads(msgspec.json.encode(found)))
    done = authz(*common, "--max-flips", str(found.flipped))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{found}\n", "")
