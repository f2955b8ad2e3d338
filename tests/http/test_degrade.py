"""Degraded mode from the outside: by configuration, by command, and with a ledger that fails."""

import asyncio
import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from authz.audit import begin_successor
from tests.http.conftest import Answer, Running, Start

HAMMER = [{"name": "on-call", "sha256": hashlib.sha256(b"hammer").hexdigest()}]


def fails(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of the ledger finds the disk full from now on."""

    def write(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running.pdp._parts.writer._committer._files, "write", write)


async def degrade(running: Running, body: Any, token: str | None) -> Answer:
    return await running.send("POST", f"{running.admin}/v1/audit/degrade", body, token=token)


async def recovered(running: Running) -> list[dict[str, Any]]:
    """The gaps in the ledger, once it takes records again."""
    async with asyncio.timeout(15):
        while not (found := await running.events(type="audit.gap")):
            await asyncio.sleep(0.05)
    return found


async def test_a_failing_ledger_is_a_503_until_somebody_says_otherwise(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By command, through an admin token: then an allow is an allow and a deny a deny, and afterwards a gap says so."""
    running = await start(**{"admin.tokens": HAMMER})
    alice = running.token("alice", "user_basic")
    fails(running, monkeypatch)
    strict = await running.check("GET", "/memory", token=alice)
    said = await degrade(running, {"seconds": 60, "reason": "the disk is full"}, "hammer")
    allowed = await running.check("GET", "/memory", token=alice)
    denied = await running.check("PUT", "/admin/config", token=alice)
    nobody = await running.check("GET", "/memory", token="x.y.z")
    ready = await running.send("GET", f"{running.admin}/readyz")

    assert (strict.status, strict.body["reason"]) == (503, "audit_unavailable")
    assert (said.status, said.body["by"]) == (200, "on-call")
    assert [allowed.status, denied.status, nobody.status] == [200, 403, 401]
    ledger = ready.body["checks"]["ledger"]
    assert ledger["ok"]
    assert ledger["detail"].startswith("DEGRADED (on-call: the disk is full): what cannot be recorded goes out; ")
    assert "3 events since" in ledger["detail"]

    monkeypatch.undo()
    [gap] = await recovered(running)
    assert (gap["lost"], gap["decisions"]) == (3, {"allow": 1, "deny": 2, "error": 0, "none": 0})
    [command] = await running.events(type="audit.degraded")
    [access] = await running.events(type="admin.access")
    assert (command["by"], command["reason"], access["break_glass"]) == ("on-call", "the disk is full", True)
    assert [event["id"] for event in await running.events(reason="audit_unavailable")] == []
    valid, issues = await asyncio.to_thread(running.pdp.audit_integrity)
    assert (valid, issues) == (True, [])


async def test_who_may_degrade(running: Running) -> None:
    """It takes admin:security:write; each try is recorded, and a GET changes nothing."""
    body = {"seconds": 1, "reason": "drill"}
    answers = [
        await degrade(running, body, token)
        for token in (None, running.token("r", "admin_readonly"), running.token("root", "admin"))
    ]
    read = await running.send("GET", f"{running.admin}/v1/audit/degrade", token=running.token("root", "admin"))

    assert [answer.status for answer in (*answers, read)] == [401, 403, 200, 405]
    events = await running.events(type="admin.access")
    assert [(event["decision"], event["resource"]["id"]) for event in events] == [
        ("allow", "admin:security:write"),
        ("deny", "admin:security:write"),
        ("deny", "admin:security:write"),
    ]
    [command] = await running.events(type="audit.degraded")
    assert command["by"] == events[0]["subject"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"seconds": 1}, "reason"),
        ({"seconds": "x", "reason": "y"}, "seconds"),
        ({"seconds": 1e9, "reason": "y"}, "seconds"),
    ],
)
async def test_what_the_command_lacks_is_named(running: Running, body: Any, field: str) -> None:
    """A 400, and nothing is degraded."""
    answer = await degrade(running, body, running.token("root", "admin"))
    assert (answer.status, field in answer.body["detail"]) == (400, True)
    assert await running.events(type="audit.degraded") == []


async def test_degraded_by_configuration_decides_on_a_disk_that_is_full_from_the_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart on a full disk is no outage then; in strict mode it does not start."""
    first = await start()
    await first.pdp.close("test")
    monkeypatch.setattr("authz.audit.files.os.write", _full)
    running = await start(**{"audit.mode": "degraded"})
    answer = await running.check("GET", "/memory", token=running.token("alice", "user_basic"))
    assert answer.status == 200
    monkeypatch.undo()
    [gap] = await recovered(running)
    assert (gap["types"], gap["allowed_by"]) == ({"auth.scope_granted": 1, "system.startup": 1}, "audit.mode")


def _full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_the_service_writes_to_the_newest_stream(start: Start) -> None:
    """After a new stream was begun by command, the next start goes on there."""
    first = await start()
    await first.pdp.close("test")
    audit = Path(first.state) / "audit"
    assert (await asyncio.to_thread(begin_successor, audit, "worker-0", "drill")).successor == "worker-0.1"
    second = await start()
    await second.check("GET", "/memory", token=second.token("alice", "user_basic"))
    [event] = await second.events(type="auth.scope_granted")
    assert event["stream"] == "worker-0.1"
