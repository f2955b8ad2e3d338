"""Subscriptions: an answer that changes is pushed, once, with the record of a decision of its own."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from authz import identity
from authz.core import AuditUnavailableError, Event, Policy, PolicyDecision
from authz.identity import Revoke
from tests.activation.policies import followed, members_of, put, signed
from tests.bundle.signers import make_signer
from tests.http.conftest import Running, Start, before_records
from tests.http.streaming import Client, stream
from tests.http.test_decisions import question


def about(token: str, path: str = "/memory") -> dict[str, Any]:
    """An evaluation that brings its token."""
    return question(path, subject={"type": "user", "id": "", "properties": {"token": token}})


def ending(running: Running, seconds: int) -> str:
    """A token that stops counting in so many seconds: it has ended, but for the issuer's leeway of 30 s."""
    return identity.mint_token(running.state, "alice", ["user_basic"], ttl_seconds=seconds - 30)


async def nothing_comes(client: Client, *, decision: bool = True) -> None:
    """The answer to a later message is the next thing that comes."""
    assert await client.ask(id=999, evaluation=question()) == {"id": 999, "decision": decision}


@pytest.mark.slow
async def test_expiry_flips_a_subscription(running: Running) -> None:
    """When the token under an allow ends, the denial is pushed, and recorded as a decision of its own."""
    async with stream(running.decision) as client:
        first = await client.ask(id=1, subscribe=about(ending(running, 6)), decision_id=True)
        pushed = await client.next()
        await nothing_comes(client)

    assert first == {"id": 1, "decision": True, "decision_id": first["decision_id"]}
    assert pushed == {"id": 1, "decision": False, "changed": "expiry", "decision_id": pushed["decision_id"]}
    record = next(each for each in await running.events() if each["id"] == pushed["decision_id"])
    assert (record["reason"], record["channel"], record["decision"]) == ("token_expired", "ws", "deny")


async def test_a_revocation_flips_a_subscription(running: Running) -> None:
    """A subject that is revoked is denied where it had been allowed, and allowed again when that is lifted."""
    alice, bob = running.token("alice", "user_basic"), running.token("bob", "user_basic")
    everything = Revoke("subject", "alice", "", None, None)
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=about(alice))
        await client.ask(id=2, subscribe=about(bob))
        revoked = await running.pdp.revocations.revoke(everything, "r-1", None, "test", "stolen")
        denied = await client.next()
        await running.pdp.revocations.lift(revoked.id)
        allowed = await client.next()
        await nothing_comes(client)

    assert denied == {"id": 1, "decision": False, "changed": "revocation"}
    assert allowed == {"id": 1, "decision": True, "changed": "revocation"}
    (record,) = [each for each in await running.events() if each.get("reason") == "token_revoked"]
    assert (record["decision"], record["channel"]) == ("deny", "ws")


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
    held = asyncio.Event()

    async def slow(_: int) -> None:
        await held.wait()

    async with stream(running.decision) as client:
        with pytest.MonkeyPatch.context() as patch:
            before_records(patch, ledger, slow)
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


async def test_a_stream_has_only_so_many_subscriptions(start: Start) -> None:
    """One over `stream.subscriptions` is refused in its item, and those before it stand."""
    running = await start(**{"stream.subscriptions": 1})
    async with stream(running.decision) as client:
        await client.ask(id=1, subscribe=question())
        refused = await client.ask(id=2, subscribe=question())

    message = "subscribe: 1 subscriptions are stream.subscriptions"
    assert refused["context"]["error"] == {"status": 413, "code": "too_large", "message": message}


@pytest.mark.slow
async def test_a_bundle_put_in_force_reaches_every_subscription(start: Start, tmp_path: Path) -> None:
    """A new revision at the source flips each subscription that it concerns, on every stream, and no other."""
    release = make_signer(tmp_path, "release")
    source = tmp_path / "bundle.tar.gz"
    source.write_bytes(signed(members_of("r1"), release, 1))
    running = await start(**followed(source, release))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(running.decision)) for _ in range(3)]
        for client in clients:
            for number in range(0, 60, 2):
                await client.send(id=number, subscribe=question())
                await client.send(id=number + 1, subscribe=question("/profile"))
            answers = [await client.next() for _ in range(60)]
            assert {each["decision"] for each in answers if each["id"] % 2 == 0} == {True}
        put(source, signed(members_of("r2", without="memory:read"), release, 2))
        pushed = [[await client.next() for _ in range(30)] for client in clients]
        for client in clients:
            await nothing_comes(client, decision=False)

    expected = {(number, False, "revision") for number in range(0, 60, 2)}
    assert [{(each["id"], each["decision"], each["changed"]) for each in said} for said in pushed] == [expected] * 3
    asked_again = [e for e in await running.events(limit=1000) if e.get("revision") == "r2" and e.get("batch")]
    assert {each["channel"] for each in asked_again} == {"ws"}


class _Refusing:
    """A policy that denies everything, as another revision does. All else is the one's that it is made of."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    async def evaluate(self, check: bytes) -> PolicyDecision:
        return PolicyDecision(allow=False, reason="scope_missing", scopes=())

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        return [await self.evaluate(check) for check in checks]
