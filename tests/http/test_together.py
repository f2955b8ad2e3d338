"""Many who ask at the same time, over HTTP, with the shipped policy."""

import asyncio

import pytest

from tests.http.conftest import Running

ROLES = ("user_basic", "caregiver_basic", "admin", "nobody")


@pytest.mark.slow
async def test_each_of_many_is_told_of_itself(running: Running) -> None:
    """Two hundred users at once, allowed and denied by turns: each reply names its own user, role and record."""
    users = [(f"user-{n}", ROLES[n % len(ROLES)], f"/memory/{n}") for n in range(200)]
    tokens = [running.token(name, role) for name, role, _ in users]
    alone = [(await running.check("GET", users[n][2], token=tokens[n])).status for n in range(len(ROLES))]

    answers = await asyncio.gather(
        *(running.check("GET", path, token=token) for token, (_, _, path) in zip(tokens, users, strict=True))
    )

    assert [each.status for each in answers] == alone * 50
    named = [(each.headers["x-authz-subject"], each.headers["x-authz-roles"]) for each in answers if each.status == 200]
    assert named == [(name, role) for (name, role, _), each in zip(users, answers, strict=True) if each.status == 200]
    records = {event["id"]: event["subject"] for event in running.pdp.audit_events(limit=500) if "decision" in event}
    assert [records[each.headers["x-decision-id"]] for each in answers] == [running.pseudonym(u[0]) for u in users]
