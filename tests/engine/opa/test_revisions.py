"""Which revision speaks: only those that are trusted are believed, and each decision is of the one it was asked for."""

import asyncio
import signal

from authz.core import SUPERSEDED, UNAVAILABLE, Catalogue, Kind, kind_of
from tests.engine.opa.conftest import REVISION, Ask, StartOpa, allowed, question, questions

NEXT = "fedcba9876543210"


async def test_another_revision_is_told_and_never_used(ask: Ask, start_opa: StartOpa) -> None:
    """A server that has moved on is not heard for the policy that was asked; what it has now is followed."""
    opa = await asyncio.to_thread(start_opa)
    asked = await ask(opa)
    assert asked.followed == [REVISION]
    assert asked.server.check().detail == f"OPA at unix:{opa.socket} serves revision {REVISION}"
    following = asked.server.know(NEXT, asked.policy.catalogue, ["authz/decisions"])
    opa.revise(NEXT)
    opa.signal(signal.SIGKILL)
    await asyncio.to_thread(opa.start)
    assert await asked.policy.evaluate(questions(1)[0]) is SUPERSEDED
    assert kind_of(SUPERSEDED.reason) is Kind.UNDECIDED
    assert await asked.policy.evaluate_all(questions(5)) == [SUPERSEDED] * 5
    assert set(asked.followed[1:]) == {NEXT}
    assert asked.server.active is following
    assert await following.evaluate_all(questions(5)) == [allowed(number) for number in range(5)]
    assert await asked.policy.explain(question(explanation={"held": {}})) is None


async def test_no_call_mixes_revisions(ask: Ask) -> None:
    """Checks that were made for two revisions go in calls of their own, in either order."""
    asked = await ask()
    other = asked.server.know(NEXT, asked.policy.catalogue, ["authz/decisions"])
    policies = [asked.policy, other, asked.policy, asked.policy, other]
    answers = await asyncio.gather(
        *(policy.evaluate(check) for policy, check in zip(policies, questions(5), strict=True))
    )
    assert answers == [allowed(0), SUPERSEDED, allowed(2), allowed(3), SUPERSEDED]
    assert answers[1] is SUPERSEDED


async def test_a_revision_that_nobody_trusts_is_not_served(ask: Ask, start_opa: StartOpa) -> None:
    """A server with another bundle than ours is as good as none, and readiness says which it has."""
    opa = await asyncio.to_thread(start_opa)
    opa.revise(NEXT)
    opa.signal(signal.SIGKILL)
    await asyncio.to_thread(opa.start)
    asked = await ask(opa, wait=False)
    while asked.server.breaker.reason == "not asked yet":
        await asyncio.sleep(0.002)
    assert asked.server.breaker.reason == f"it serves revision {NEXT}, and revision {REVISION} is trusted here"
    assert await asked.policy.evaluate(questions(1)[0]) is UNAVAILABLE


async def test_a_catalogue_of_its_own_is_not_believed(ask: Ask, start_opa: StartOpa) -> None:
    """The right revision over other data: somebody changed it, so it is not asked."""
    opa = await asyncio.to_thread(start_opa)
    asked = await ask(opa, wait=False)
    asked.server.know(REVISION, Catalogue(scopes=("memory:read",), roles=("user", "root")), ["authz/decisions"])
    asked.server.breaker.reason = ""
    while not asked.server.breaker.reason:
        await asyncio.sleep(0.002)
    assert asked.server.breaker.reason == f"its catalogue is not that of revision {REVISION}: its data were changed"
    assert not asked.server.breaker.closed


async def test_a_policy_that_was_closed_is_not_believed(ask: Ask) -> None:
    """Closing a policy takes the trust in its revision back: a server that still has it counts as none."""
    asked = await ask()
    asked.policy.close()
    asked.server.breaker.trip("to see")
    while asked.server.breaker.reason == "to see":
        await asyncio.sleep(0.002)
    assert asked.server.breaker.reason == f"it serves revision {REVISION}, and no bundle is trusted here"
