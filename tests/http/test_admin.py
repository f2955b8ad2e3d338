"""The admin listener: open where it says so, guarded by the policy everywhere else, and every use recorded."""

import asyncio
import hashlib
from pathlib import Path

import aiohttp
import pytest

from tests.http.conftest import Running, Start

GUARDED = {
    "/v1/catalogue": "admin:metrics:read",
    "/v1/policy": "admin:security:read",
    "/v1/audit/events": "admin:audit:read",
    "/v1/audit/integrity": "admin:audit:read",
}


async def test_health_and_readiness_are_open(running: Running) -> None:
    """/healthz says that it lives, /readyz check by check whether it can decide."""
    health = await running.send("GET", f"{running.admin}/healthz")
    async with asyncio.timeout(10):
        while (ready := await running.send("GET", f"{running.admin}/readyz")).status != 200:
            await asyncio.sleep(0.02)

    assert (health.status, health.body) == (200, {"status": "ok"})
    assert (ready.status, ready.body["ready"], sorted(ready.body["checks"])) == (
        200,
        True,
        ["auditor", "damage", "disk", "keys:https://dev.authz.invalid", "ledger", "policy"],
    )


async def test_readiness_names_the_fix(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger in trouble makes it unready, and the answer says what to do."""
    monkeypatch.setattr(type(running.pdp._parts.writer), "failure", property(lambda _: "no space left"))
    ready = await running.send("GET", f"{running.admin}/readyz")

    assert (ready.status, ready.body["ready"]) == (503, False)
    assert ready.body["checks"]["ledger"]["detail"] == "no space left"
    assert "Free or repair the disk" in ready.body["checks"]["ledger"]["fix"]


@pytest.mark.parametrize(("path", "scope"), sorted(GUARDED.items()))
async def test_the_policy_guards_the_rest(running: Running, path: str, scope: str) -> None:
    """Nobody gets in without a token, a user without the scope neither, an admin does; each try is recorded."""
    answers = [
        await running.send("GET", f"{running.admin}{path}", token=token)
        for token in (None, running.token("alice", "user_premium"), running.token("root", "admin_readonly"))
    ]

    assert [a.status for a in answers] == [401, 403, 200]
    events = await running.events(limit=3, type="admin.access")
    assert [(e["decision"], e["reason"], e["scopes"], e["resource"]["id"]) for e in events] == [
        ("allow", "scope_granted", [scope], scope),
        ("deny", "scope_missing", [scope], scope),
        ("deny", "token_missing", [scope], scope),
    ]


async def test_the_catalogue_is_the_active_policys(running: Running) -> None:
    """/v1/catalogue lists roles, scopes and routes of the revision in force."""
    answer = await running.send("GET", f"{running.admin}/v1/catalogue", token=running.token("root", "admin_readonly"))

    assert answer.body["revision"] == running.pdp.policies.active.revision
    assert {"admin", "user_basic", "caregiver_advanced"} <= set(answer.body["roles"])
    assert ("GET", "/memory/{id}") in {(route["method"], route["path"]) for route in answer.body["routes"]}


async def test_events_can_be_searched(running: Running) -> None:
    """Filters narrow the list; a clear parameter finds its pseudonym; an unknown filter is a 400 that names it."""
    token = running.token("root", "admin_readonly")
    await running.check("GET", "/memory/42", token=running.token("alice", "user_basic"))
    await running.check("GET", "/memory/43", token=running.token("alice", "user_basic"))
    url = f"{running.admin}/v1/audit/events"

    found = await running.send("GET", f"{url}?route=/memory/{{id}}&param.id=42&limit=5", token=token)
    unknown = await running.send("GET", f"{url}?colour=blue", token=token)
    silly = await running.send("GET", f"{url}?limit=0", token=token)

    assert [(e["route"], e["decision"]) for e in found.body["events"]] == [("/memory/{id}", "allow")]
    assert (unknown.status, "colour" in unknown.body["detail"]) == (400, True)
    assert (silly.status, silly.body["detail"]) == (400, "limit: must be a whole number from 1 to 1000")


async def test_break_glass_leaves_a_mark(start: Start, tmp_path: Path) -> None:
    """A stated admin token and the service's own user on the socket get in, and the record says so loudly."""
    digest = hashlib.sha256(b"hammer").hexdigest()
    socket = tmp_path / "admin.sock"
    running = await start(**{"admin.tokens": [{"name": "on-call", "sha256": digest}], "admin.socket": str(socket)})

    by_token = await running.send("GET", f"{running.admin}/v1/policy", token="hammer")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.get("http://localhost/v1/policy") as response,
    ):
        by_socket = response.status

    assert (by_token.status, by_socket, socket.stat().st_mode & 0o777) == (200, 200, 0o600)
    events = await running.events(limit=2, type="admin.access")
    assert [(e["reason"], e["break_glass"], e["caller"][:8], e.get("ip")) for e in events] == [
        ("break_glass", True, "unix:uid", None),
        ("break_glass", True, "on-call", "127.0.0.1"),
    ]


async def test_whence_an_administrator_comes_is_no_word_of_hers(start: Start) -> None:
    """The address in a record of admin access, and in the policy's conditions, is the connection's own."""
    digest = hashlib.sha256(b"hammer").hexdigest()
    running = await start(**{"admin.tokens": [{"name": "on-call", "sha256": digest}]})
    told = {"X-Authz-Client-IP": "10.0.0.1", "X-Authz-User-Agent": "forged", "X-Authz-Session-ID": "forged"}
    headers = {**told, "User-Agent": "curl/8", "X-Request-ID": "r-1"}
    for token in ("hammer", running.token("root", "admin_readonly")):
        await running.send("GET", f"{running.admin}/v1/policy", token=token, headers=headers)

    events = await running.events(limit=2, type="admin.access")
    assert [(e["ip"], e["user_agent"], e["request_id"], e.get("session_id")) for e in events] == [
        ("127.0.0.1", "curl/8", "r-1", None)
    ] * 2


async def test_metrics_are_open_on_loopback_and_scrapes_leave_no_record(running: Running) -> None:
    """A scrape works without a token here, negotiates OpenMetrics, and the ledger does not grow by it."""
    before = len(await running.events())
    plain = await running.send("GET", f"{running.admin}/metrics")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    negotiated = await running.send("GET", f"{running.admin}/metrics", headers=accept)

    assert (plain.status, plain.headers["content-type"][:10]) == (200, "text/plain")
    assert negotiated.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert b"authz_scope_requests_total{" in plain.body
    assert len(await running.events()) == before


async def test_what_the_disk_took_is_measured(running: Running) -> None:
    """Every decision waits for the disk, so how long that takes is there to be seen: a commit more, a count more."""

    async def commits() -> float:
        lines = (await running.send("GET", f"{running.admin}/metrics")).body.decode().splitlines()
        return next(
            float(line.split()[1]) for line in lines if line.startswith("authz_audit_commit_duration_seconds_count")
        )

    before = await commits()
    await running.check("GET", "/memory", token=running.token("alice", "user_basic"))

    assert await commits() == before + 1


async def test_unknown_paths_and_methods(running: Running) -> None:
    """What is not there is 404, what only reads cannot be written."""
    answers = [
        await running.send("GET", f"{running.admin}/v1/nothing"),
        await running.send("POST", f"{running.admin}/healthz"),
    ]

    assert [a.status for a in answers] == [404, 405]
