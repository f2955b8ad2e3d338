"""Subscriptions: an answer that changes is pushed, once, with the record of a decision of its own."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from authz import identity
from authz.core import AuditUnavailableError, Event
from tests.http.conftest import Running
from tests.http.streaming import Client, stream
from tests.http.test_decisions import question


def about(token: str, path: str = "/memory") -> dict[str, Any]:
    """An evaluation that brings its token."""
    return question(path, subject={"type": "user", "id": "", "properties": {"token": token}})


def ending(running: Running, seconds: int) -> str:
    """A token that stops counting in so many seconds: it has ended, but for the issuer's leeway of 30 s."""
    return identity.mint_token(running.state, "alice", ["user_basic"], ttl_seconds=seconds - 30)


async def nothing_comes(client: Client) -> None:
    """The answer to a later message is the next thing that comes."""
    assert await client.ask(id=999, evaluation=question()) == {"id": 999, "decision": True}


async def test_expiry_flips_a_subscription(running: Running) -> None:
    """When the token under an allow ends, the denial is pushed, and recorded as a decision of its own."""
    async with stream(running.decision) as client:
        first = await client.ask(id=1, subscribe=about(ending(running, 4)), decision_id=True)
        pushed = await client.next()
        await nothing_comes(client)

    assert first == {"id": 1, "decision": True, "decision_id": first["decision_id"]}
    assert pushed == {"id": 1, "decision": False, "changed": "expiry", "decision_id": pushed["decision_id"]}
    record = next(each for each in await running.events() if each["id"] == pushed["decision_id"])
    assert (record["reason"], record["channel"], record["decision"]) == ("token_expired", "ws", "deny")


async def test_another_policy_flips_a_subscription_once(running: Running) -> None:
    """A policy that answers otherwise is pushed at once to whom it concerns, and nothing to anybody else."""
    policies = running.pdp.policies
    before = policies.active
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        await client.ask(id=2, subscribe=question("/admin/config", "PUT"))
        policies.replace(_Refusing(before))
        denied = await client.next()
        policies.replace(before)
        allowed = await client.next()
        policies.replace(before)
        await nothing_comes(client)

    assert denied == {"id": 1, "decision": False, "changed": "revision"}
    assert allowed == {"id": 1, "decision": True, "changed": "revision"}


async def test_a_change_during_the_first_answer_is_not_missed(running: Running) -> None:
    """A policy that comes while the first answer is being recorded is asked too, and flips it."""
    ledger = running.pdp.decisions.ledger
    held, record = asyncio.Event(), ledger.record

    async def slow(event: Event) -> None:
        await held.wait()
        await record(event)

    async with stream(running.decision) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "record", slow)
            await client.send(id=1, subscribe=question())
            while running.counted("authz_ws_open_subscriptions") < 1:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            running.pdp.policies.replace(_Refusing(running.pdp.policies.active))
            held.set()
            answers = [await client.next(), await client.next()]

    assert answers == [{"id": 1, "decision": True}, {"id": 1, "decision": False, "changed": "revision"}]


async def test_what_cannot_be_decided_any_more_is_denied_until_it_can(running: Running) -> None:
    """A failing ledger pushes a denial with 503; when it works again, the answer is pushed without being asked for."""
    ledger = running.pdp.decisions.ledger
    policies = running.pdp.policies

    async def fails(events: list[Event]) -> None:
        raise AuditUnavailableError("the disk is gone")

    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "record_all", fails)
            policies.replace(policies.active)
            denied = await client.next()
        again = await client.next()

    assert denied["context"]["error"]["code"] == "audit_unavailable"
    assert (denied["decision"], denied["changed"]) == (False, "revision")
    assert again == {"id": 1, "decision": True, "changed": "revision"}


async def test_what_is_unsubscribed_is_asked_no_more(running: Running) -> None:
    """After `unsubscribed` nothing comes under the id, nothing is decided for it, and it is free again."""
    policies = running.pdp.policies
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        ended = await client.ask(id=1, unsubscribe=True)
        policies.replace(_Refusing(policies.active))
        free = await client.ask(id=1, evaluation=question())

    assert (ended, free) == ({"id": 1, "unsubscribed": True}, {"id": 1, "decision": False})
    assert len([each for each in await running.events() if each.get("channel") == "ws"]) == 2


async def test_a_stream_has_only_so_many_subscriptions(start: Any) -> None:
    """One over `stream.subscriptions` is refused in its item, and those before it stand."""
    running = await start(**{"stream.subscriptions": 1})
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        refused = await client.ask(id=2, subscribe=question())

    message = "subscribe: 1 subscriptions are stream.subscriptions"
    assert refused["context"]["error"] == {"status": 413, "code": "too_large", "message": message}


async def test_a_revision_of_a_followed_bundle_reaches_a_hundred_subscriptions(start: Any, tmp_path: Path) -> None:
    """A bundle put in force at its source flips each subscription that it concerns, on every stream."""
    pytest.importorskip("authz.activation")


class _Refusing:
    """A policy that denies everything, as another revision."""
