"""Revocations from the outside: in force for the next decision, recorded, listed without names, lifted."""

import hashlib
import time
from typing import Any

import pytest

from authz.identity import DEV_ISSUER
from tests.http.conftest import Answer, Running, Start

HAMMER = [{"name": "on-call", "sha256": hashlib.sha256(b"hammer").hexdigest()}]
ADMIN = ("admin",)


async def call(running: Running, method: str, body: Any = None, query: str = "", token: str | None = None) -> Answer:
    """A call of the revocations' route, as an administrator unless a token says otherwise."""
    who = running.token("root", *ADMIN) if token is None else token
    return await running.send(method, f"{running.admin}/v1/revocations{query}", body, token=who)


async def reasons(running: Running, *tokens: str) -> list[str]:
    """What a check with each of these tokens comes to."""
    found = []
    for token in tokens:
        answer = await running.check("GET", "/memory", token=token)
        found.append("allow" if answer.status == 200 else f"{answer.status} {answer.body['reason']}")
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"subject": "alice"}, ["401 token_revoked", "401 token_revoked", "allow"]),
        ({"subject": "alice", "issuer": DEV_ISSUER}, ["401 token_revoked", "401 token_revoked", "allow"]),
        ({"jti": "t-1"}, ["401 token_revoked", "allow", "allow"]),
        ({"session": "s-1"}, ["401 token_revoked", "allow", "allow"]),
        ({"issued_before": -1}, ["401 token_revoked"] * 3),
        ({"subject": "alice", "issued_before": -1}, ["401 token_revoked", "401 token_revoked", "allow"]),
        ({"subject": "alice", "issued_before": -3600}, ["allow"] * 3),
    ],
)
async def test_what_is_revoked_is_refused_from_the_next_decision_on(
    running: Running, asked: dict[str, Any], expected: list[str]
) -> None:
    """Cached or not; lifted, it counts again; each change is a record that names nobody."""
    tokens = [
        running.token("alice", "user_basic", jti="t-1", sid="s-1"),
        running.token("alice", "user_basic", jti="t-2", sid="s-2"),
        running.token("bob", "user_basic"),
    ]
    before = await reasons(running, *tokens)
    if "issued_before" in asked:
        asked = asked | {"issued_before": int(time.time()) + 2 + asked["issued_before"]}
    admin = running.token("root", *ADMIN)
    revoked = await call(running, "POST", {"reason": "stolen", **asked}, token=admin)
    after = await reasons(running, *tokens)
    lifter = "hammer" if "subject" not in asked and "issued_before" in asked else admin
    listed = await call(running, "GET", token=admin) if lifter == admin else None
    lifted = await call(running, "DELETE", query=f"?id={revoked.body['id']}&reason=mistake", token=lifter)
    again = await reasons(running, *tokens)
    events = await running.events(type="auth.revoked")

    assert (before, revoked.status, after) == (["allow"] * 3, 200, expected)
    assert (lifted.status, again) == (200, ["allow"] * 3)
    assert [(each["done"], each["reason"], each["revocation"]) for each in events] == [
        ("lifted", "mistake", revoked.body["id"]),
        ("revoked", "stolen", revoked.body["id"]),
    ]
    if listed is not None:
        assert [each["id"] for each in listed.body["revocations"]] == [revoked.body["id"]]
    value = asked.get("subject") or asked.get("jti") or asked.get("session")
    assert events[1].get("pseudonym") == (running.pseudonym(value) if value else None)


@pytest.fixture
async def running(start: Start) -> Running:
    """A sidecar with a break-glass token."""
    return await start(**{"admin.tokens": HAMMER})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "x"},
        {"reason": "", "subject": "alice"},
        {"reason": "x" * 257, "subject": "alice"},
        {"reason": "a\nb", "subject": "alice"},
        {"reason": "x", "subject": ""},
        {"reason": "x", "subject": "alice", "jti": "t"},
        {"reason": "x", "jti": "t", "issued_before": 1},
        {"reason": "x", "issued_before": 0},
        {"reason": "x", "issued_before": 99_999_999_999},
        {"reason": "x", "subject": "alice", "issuer": "https://nobody.test"},
        {"reason": "x", "subject": "alice", "expires_at": 1},
        {"reason": "x", "subject": "alice", "other": 1},
        {"reason": "x", "subject": 7},
    ],
)
async def test_what_cannot_be_meant_is_refused(running: Running, body: dict[str, Any]) -> None:
    """400, and nothing is revoked."""
    assert (await call(running, "POST", body)).status == 400
    assert (await call(running, "GET")).body == {"revocations": [], "held": 0}


async def test_only_who_may_change_security_may_revoke(running: Running) -> None:
    """Neither see, nor revoke, nor lift; and an ID that does not exist is a 404."""
    for method, query in (("GET", ""), ("POST", ""), ("DELETE", "?id=x")):
        body = {"subject": "root", "reason": "x"} if method == "POST" else None
        reader = running.token("eve", "admin_readonly")
        assert (await call(running, method, body, query, token=reader)).status == 403
        assert (await call(running, method, body, query, token="")).status == 401
    assert (await call(running, "DELETE", query="?id=x")).status == 404
    assert (await call(running, "PUT")).status == 405
    assert (await call(running, "GET")).body["held"] == 0


async def test_everybody_can_be_revoked_and_the_glass_still_be_broken(running: Running) -> None:
    """An administrator may revoke her own token too: from then on it is the admin token's business."""
    admin = running.token("root", *ADMIN)
    done = await call(running, "POST", {"issued_before": int(time.time()) + 1, "reason": "leak"}, token=admin)
    assert done.status == 200
    assert (await call(running, "GET", token=admin)).status == 401
    assert (await call(running, "DELETE", query=f"?id={done.body['id']}", token="hammer")).status == 200
    assert (await call(running, "GET", token=admin)).status == 200
