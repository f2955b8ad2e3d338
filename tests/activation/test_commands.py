"""Activate and roll back over the admin listener: pinned, recorded, kept over restarts."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from authz.core import ConfigurationError
from tests.activation.policies import followed, in_force, members_of, put, rejected, signed, until
from tests.bundle.signers import make_signer
from tests.http.conftest import Answer, Running, Start

HAMMER = [{"name": "on-call", "sha256": hashlib.sha256(b"hammer").hexdigest()}]


async def command(running: Running, name: str, body: Any, token: str | None = "hammer") -> Answer:
    return await running.send("POST", f"{running.admin}/v1/policy/{name}", body, token=token)


async def status(running: Running) -> dict[str, Any]:
    answer = await running.send("GET", f"{running.admin}/v1/policy", token="hammer")
    assert answer.status == 200
    found: dict[str, Any] = answer.body
    return found


@pytest.mark.slow
async def test_a_rollback_holds_until_the_next_activate(start: Start, tmp_path: Path) -> None:
    """Against newer bundles and over a restart; it is shown, measured and recorded with who and why."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    flags = {**followed(source, release), "admin.tokens": HAMMER}
    running = await start(**flags)
    put(source, signed(members_of("r2", without="memory:read"), release, 2))
    await in_force(running, "r2")

    back = await command(running, "rollback", {"reason": "r2 locks people out"})
    put(source, signed(members_of("r3"), release, 3))
    await until(lambda: running.pdp.following.status().waiting == "r3", "r3 waiting")

    assert (back.status, back.body["revision"], back.body["pinned"]) == (200, "r1", "on-call: r2 locks people out")
    assert running.pdp.policies.active.revision == "r1"
    assert running.counted("authz_policy_pinned") == 1
    (changed,) = await running.events(type="admin.config_changed")
    assert {name: changed[name] for name in ("setting", "by", "reason", "from", "to")} == {
        "setting": "policy.rollback",
        "by": "on-call",
        "reason": "r2 locks people out",
        "from": "r2",
        "to": "r1",
    }

    await running.stop()
    kept = running.state / "bundles" / "r1.tar.gz"
    whole = kept.read_bytes()
    kept.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(
        ConfigurationError, match=r"a rollback holds r1, .*Put its signed bundle back as .*/r1\.tar\.gz"
    ):
        await start(**flags)
    kept.write_bytes(whole)
    again = await start(**flags)
    assert (await status(again))["pinned"] == "on-call: r2 locks people out"
    assert again.pdp.policies.active.revision == "r1"

    unknown = await command(again, "activate", {"revision": "../r3", "reason": "no"})
    onward = await command(again, "activate", {"revision": "r3", "reason": "fixed"})
    assert (unknown.status, onward.status) == (400, 200)
    assert (onward.body["revision"], onward.body["pinned"]) == ("r3", "")
    older = await command(again, "activate", {"revision": "r2", "reason": "no"})
    assert (older.status, older.body["reason"]) == (409, "bundle_sequence")
    activated = [event["revision"] for event in await again.events(type="policy.activated")]
    assert activated == ["r3", "r1", "r2", "r1"]


async def test_commands_take_the_scope(start: Start, tmp_path: Path) -> None:
    """A user cannot roll back, and nobody activates a path, a URL or an upload."""
    running = await start(**{"admin.tokens": HAMMER})

    alice = await command(running, "rollback", {"reason": "x"}, token=running.token("alice", "user_basic"))
    uploads = [{"revision": "r", "url": "http://x"}, {"revision": "/etc/passwd"}, {"path": "x"}, {}]
    refused = [(await command(running, "activate", body)).status for body in uploads]

    assert alice.status == 403
    assert refused == [400, 400, 400, 400]


@pytest.mark.parametrize("reason", ["", "  ", "r" * 501, "ends\nhere"])
async def test_a_command_says_why(start: Start, reason: str) -> None:
    """In words that fit into a record and a line; nothing is done or recorded without."""
    running = await start(**{"admin.tokens": HAMMER})
    revision = running.pdp.policies.active.revision
    back = await command(running, "rollback", {"reason": reason})
    onward = await command(running, "activate", {"revision": revision, "reason": reason, "accept_flips": True})
    said = "reason: must say in 1 to 500 printable characters why"
    assert [(each.status, each.body["detail"]) for each in (back, onward)] == [(400, said)] * 2
    assert await running.events(type="admin.config_changed") == []


async def test_a_start_without_a_policy_fails_clearly(start: Start, tmp_path: Path) -> None:
    """No file, no keys, no trust: the message names the setting."""
    release = make_signer(tmp_path, "release")
    missing = tmp_path / "none.tar.gz"
    with pytest.raises(ConfigurationError, match=r"policy\.source: there is no policy to start with: .*none\.tar\.gz"):
        await start(**followed(missing, release))
    missing.write_bytes(signed(members_of("r1"), make_signer(tmp_path, "stranger"), 1))
    with pytest.raises(ConfigurationError, match="0 of 1 signatures by known keys"):
        await start(**followed(missing, release))
    with pytest.raises(ConfigurationError, match=r"policy\.signatures_required: 2, with only 1"):
        await start(**followed(missing, release, signatures_required=2))


@pytest.mark.slow
async def test_a_start_while_the_source_is_away_takes_the_last_good_one(start: Start, tmp_path: Path) -> None:
    """Verified again: not if its key is not trusted any more, nor if somebody changed it on the disk."""
    release, other = make_signer(tmp_path, "release"), make_signer(tmp_path, "other")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release))
    await running.stop()

    source.unlink()
    running = await start(**followed(source, release))
    assert running.pdp.policies.active.revision == "r1"
    await until(lambda: "source_unavailable" in running.pdp.following.check().detail, "the trouble said")
    await running.stop()

    source.write_bytes(b"garbage")
    running = await start(**followed(source, release))
    assert running.pdp.policies.active.revision == "r1"
    await rejected(running, "bundle_refused", hashlib.sha256(b"garbage").hexdigest())
    await running.stop()

    with pytest.raises(ConfigurationError, match="the last good one cannot be used either"):
        await start(**followed(source, other))
    kept = tmp_path / "state" / "bundles" / "r1.tar.gz"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigurationError, match="the last good one cannot be used either"):
        await start(**followed(source, release))
