"""A policy is put to the newest decisions before it is put in force; too many flips, and it is not."""

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from authz import bundle
from authz.activation.rehearsal import Replayed
from tests.activation.policies import followed, in_force, members_of, put, rejected, signed, until
from tests.activation.test_commands import HAMMER, command, status
from tests.bundle.signers import make_signer
from tests.http.conftest import Answer, Running, Start


def replay_of(running: Running) -> Any:
    return running.pdp.following.status().replayed


async def authz(*arguments: str) -> tuple[int, str]:
    """`authz policy` with these arguments: its exit code and all that it says."""
    command = [sys.executable, "-m", "authz", "policy", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


async def asked_often(running: Running) -> None:
    """Nine decisions, of which four are of the scope that is taken away below."""
    alice = running.token("alice", "user_basic")
    for path in (
        "/memory",
        "/memory",
        "/memory/7",
        "/memory/8",
        "/photos",
        "/photos",
        "/nowhere",
        "/health",
        "/health",
    ):
        await running.check("GET", path, token=alice)


@pytest.mark.slow
async def test_too_many_flips_reject_a_policy_until_somebody_accepts_them(start: Start, tmp_path: Path) -> None:
    """The old one stays in force, over a restart too; what flips is told by route; who accepts it is on record."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    flags = {**followed(source, release, replay_sample=100, replay_max_flips=3), "admin.tokens": HAMMER}
    running = await start(**flags)
    await asked_often(running)
    flipped = running.counted("authz_policy_replayed_total", outcome="flipped")

    narrower = signed(members_of("r2", without="memory:read"), release, 2)
    put(source, narrower)
    event = await rejected(running, "policy_replay", hashlib.sha256(narrower).hexdigest())

    first, *flips = event["detail"].splitlines()
    assert first.startswith("4 of the newest 9 decisions flip, 0 cannot be told (policy.replay_max_flips: 3 may); ")
    assert first.endswith("`authz policy activate r2 --accept-flips` takes it all the same")
    by = "would be denied by memory:read (scope_granted -> scope_missing): 2 decisions of 1 subjects, "
    assert sorted(each.partition(by)[::2] for each in flips) == [
        ("GET /memory ", flips[0].partition(by)[2]),
        ("GET /memory/{id} ", flips[1].partition(by)[2]),
    ]
    assert event["active"] == running.pdp.policies.active.revision == "r1"
    assert running.counted("authz_policy_replayed_total", outcome="flipped") == flipped + 4
    told = (await status(running))["replayed"]
    assert (told["revision"], told["decisions"], told["flipped"], told["accepted"]) == ("r2", 9, 4, "")
    assert told["told"] == flips

    await running.stop()
    again = await start(**flags)
    assert again.pdp.policies.active.revision == "r1"
    await until(lambda: replay_of(again) is not None, "replayed after the start")
    refused = await command(again, "activate", {"revision": "r2", "reason": "it is what we want"})
    assert (refused.status, refused.body["reason"]) == (409, "policy_replay")
    token = tmp_path / "token"
    token.write_text("hammer")
    where = ("--url", again.admin, "--token-file", str(token))
    code, said = await authz("activate", "r2", "--reason", "agreed", *where)
    refusal = f"authz: {again.admin}: HTTP 409: policy_replay: 4 of the newest 9 decisions flip, "
    assert (code, said[: len(refusal)]) == (1, refusal)
    code, said = await authz("activate", "r2", "--reason", "agreed", "--accept-flips", *where)
    assert (code, said.splitlines()[0][:14]) == (0, "revision r2, s")
    replayed = ": r2: 4 of the newest 9 decisions flip, 0 cannot be told, 0 were left out, accepted by on-call"
    assert (await authz("status", *where))[1].splitlines()[2].endswith(replayed)
    _, log = await authz("log", "--state", str(again.state))
    assert "by=on-call sequence=2 flipped=4 untold=0 decisions=9 accepted=on-call" in log
    activated = (await again.events(type="policy.activated"))[0]
    assert (activated["revision"], activated["by"]) == ("r2", "on-call")
    assert {name: activated["replayed"][name] for name in ("flipped", "untold", "accepted")} == {
        "flipped": 4,
        "untold": 0,
        "accepted": "on-call",
    }


@pytest.mark.slow
async def test_what_flips_little_is_put_in_force_and_an_accepted_flip_counts_once(start: Start, tmp_path: Path) -> None:
    """Up to the limit a policy is taken and its counts are on record; the next is held against it, not the first."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release, replay_sample=100, replay_max_flips=4))
    await asked_often(running)

    put(source, signed(members_of("r2", without="memory:read"), release, 2))
    await in_force(running, "r2")
    activated = (await running.events(type="policy.activated"))[0]["replayed"]
    assert (activated["decisions"], activated["flipped"], activated["untold"]) == (9, 4, 0)

    put(source, signed(members_of("r3", without="memory:read"), release, 3))
    await in_force(running, "r3")
    assert (replay_of(running).decisions, replay_of(running).flipped, replay_of(running).told) == (9, 0, ())


@pytest.mark.slow
async def test_what_cannot_be_replayed_is_refused_aloud_and_a_rollback_is_not_held_up(
    start: Start, tmp_path: Path
) -> None:
    """A bundle that does not say what it reads, and a ledger with a changed record: refused with why and the way on."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release, replay_sample=100), **{"admin.tokens": HAMMER})
    await asked_often(running)
    put(source, signed(members_of("r2"), release, 2))
    await in_force(running, "r2")

    silent = members_of("r3")
    manifest = json.loads(silent[bundle.MANIFEST])
    del manifest["metadata"]["authz"]["reads"]
    put(source, old := signed({**silent, bundle.MANIFEST: json.dumps(manifest).encode()}, release, 3))
    event = await rejected(running, "policy_replay", hashlib.sha256(old).hexdigest())
    assert "it cannot be replayed: replay_refused: revision r3: does not say what it reads" in event["detail"]

    await asyncio.to_thread(change_a_record, running.state)
    put(source, next_one := signed(members_of("r4"), release, 4))
    event = await rejected(running, "policy_replay", hashlib.sha256(next_one).hexdigest())
    assert "it cannot be replayed: audit_damaged: " in event["detail"]
    assert "--accept-flips" in event["detail"]
    assert running.pdp.policies.active.revision == "r2"
    taken = await command(running, "activate", {"revision": "r4", "reason": "urgent", "accept_flips": True})
    assert (taken.status, taken.body["revision"], taken.body["replayed"]["decisions"]) == (200, "r4", 0)
    activated = (await running.events(type="policy.activated"))[0]["replayed"]
    assert (activated["accepted"], "audit_damaged" in activated["trouble"]) == ("on-call", True)
    back = await command(running, "rollback", {"revision": "r1", "reason": "urgent"})
    assert (back.status, back.body["revision"]) == (200, "r1")


def change_a_record(state: Path) -> None:
    """One decision in the middle of the newest segment becomes another."""
    (path,) = (state / "audit" / "worker-0").glob("*.jsonl")
    text = path.read_bytes()
    cut = text.index(b'"action":"GET"')
    path.write_bytes(text[:cut] + b'"action":"PUT"' + text[cut + 14 :])


@pytest.mark.slow
@pytest.mark.parametrize("by_command", [False, True])
async def test_a_rollback_waits_for_no_replay(start: Start, tmp_path: Path, by_command: bool) -> None:
    """Whoever rolls back while the next policy is replayed is done at once, and that holds: the source waits, and
    an earlier command is refused."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release, replay_sample=100), **{"admin.tokens": HAMMER})
    put(source, signed(members_of("r2"), release, 2))
    await in_force(running, "r2")
    put(source, signed(members_of("r3"), release, 3))
    await in_force(running, "r3")
    assert (await command(running, "rollback", {"revision": "r2", "reason": "odd"})).status == 200
    if not by_command:
        assert (await command(running, "activate", {"revision": "r3", "reason": "it was not"})).status == 200

    rehearsals = running.pdp.activation._rehearsals
    really, held, begun, against = rehearsals.of, asyncio.Event(), asyncio.Event(), []

    async def slowly(revision: str, archive: bytes, active: bytes) -> Replayed:
        against.append(bundle.read(active).revision)
        begun.set()
        await held.wait()
        return await really(revision, archive, active)

    rehearsals.of = slowly  # type: ignore[method-assign]
    activating: list[asyncio.Task[Answer]] = []
    if by_command:
        activating += [asyncio.create_task(command(running, "activate", {"revision": "r3", "reason": "again"}))]
    else:
        put(source, signed(members_of("r4"), release, 4))
    await begun.wait()
    back = await command(running, "rollback", {"revision": "r1", "reason": "now"})
    assert (back.status, back.body["revision"], held.is_set()) == (200, "r1", False)
    held.set()
    for answer in [await each for each in activating]:
        assert (answer.status, answer.body["reason"]) == (409, "policy_changed")
    if not by_command:
        await until(lambda: running.pdp.following.status().waiting == "r4", "r4 waiting")
    assert running.pdp.policies.active.revision == "r1"
    assert against == ["r2" if by_command else "r3"]


@pytest.mark.slow
async def test_a_replay_counts_against_what_is_in_force_at_its_end(start: Start, tmp_path: Path) -> None:
    """Where another policy was put in force while one was replayed, that one is replayed again, against it."""
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(bundle.pack(members_of("r1")))
    running = await start(**followed(source, replay_sample=100), **{"admin.tokens": HAMMER})
    put(source, bundle.pack(members_of("r2")))
    await in_force(running, "r2")

    rehearsals = running.pdp.activation._rehearsals
    really, held, begun, against = rehearsals.of, asyncio.Event(), asyncio.Event(), []

    async def slowly(revision: str, archive: bytes, active: bytes) -> Replayed:
        against.append((revision, bundle.read(active).revision))
        if revision == "r3":
            begun.set()
            await held.wait()
        return await really(revision, archive, active)

    rehearsals.of = slowly  # type: ignore[method-assign]
    put(source, bundle.pack(members_of("r3")))
    await begun.wait()
    back = await command(running, "activate", {"revision": "r1", "reason": "r2 is odd"})
    assert (back.status, back.body["revision"]) == (200, "r1")
    held.set()
    await in_force(running, "r3")
    assert against == [("r3", "r2"), ("r1", "r2"), ("r3", "r1")]
