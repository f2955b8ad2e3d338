"""Many questions to an OPA server: one call, and everybody gets the answer to their own."""

import asyncio

import pytest

from authz.core import BREACH, ERROR, UNDEFINED, Explanation, PolicyDecision
from tests.engine.opa.conftest import Ask, Asked, allow, allowed, question, questions


async def together(asked: Asked, checks: list[bytes]) -> list[PolicyDecision]:
    return await asyncio.gather(*(asked.policy.evaluate(check) for check in checks))


async def test_concurrent_checks_are_one_call(ask: Ask) -> None:
    """64 checks at once cost one HTTP request, by OPA's own count, and each gets its own answer."""
    asked = await ask()
    before = await asyncio.to_thread(asked.opa.requests)
    assert await together(asked, questions(64)) == [allowed(number) for number in range(64)]
    assert await asyncio.to_thread(asked.opa.requests) - before == 1
    assert await asked.policy.evaluate_all(questions(64)) == [allowed(number) for number in range(64)]
    assert await asyncio.to_thread(asked.opa.requests) - before == 2


async def test_the_next_batch_forms_while_one_is_in_flight(ask: Ask) -> None:
    """What comes in during a call waits for nothing but its end: one check, then thirty together, are two calls."""
    asked = await ask()
    before = await asyncio.to_thread(asked.opa.requests)
    first = asyncio.create_task(asked.policy.evaluate(questions(1)[0]))
    while not asked.server._client._session._session.connector._acquired:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    rest = await together(asked, questions(30))
    assert [await first, *rest] == [allowed(0), *(allowed(number) for number in range(30))]
    assert await asyncio.to_thread(asked.opa.requests) - before == 2


async def test_more_than_a_batch_are_several(ask: Ask) -> None:
    """No call carries more checks than it may, and none is lost or moved."""
    asked = await ask(batch_checks=16)
    before = await asyncio.to_thread(asked.opa.requests)
    assert await together(asked, questions(40)) == [allowed(number) for number in range(40)]
    assert await asyncio.to_thread(asked.opa.requests) - before == 3


POISON = {
    "a conflict": (question(answer=allow(0), other_answer=allow(1)), ERROR),
    "a lone surrogate": (b'{"answer": {"allow": true, "reason": "\\ud800", "scopes": []}}', ERROR),
    "no UTF-8": (b'{"answer": "\xff"}', ERROR),
    "no JSON": (b'{"answer":"\\u00e9"}}', ERROR),
    "too large": (question(answer=allow(0), filler="x" * 1_000_000), ERROR),
    "undefined": (question(), UNDEFINED),
    "a breach": (question(answer=allow(1) | {"allow": "true"}), BREACH),
}


@pytest.mark.parametrize("name", POISON)
async def test_a_poisoned_check_harms_nobody_else(ask: Ask, name: str) -> None:
    """Among 20 good checks the offender alone gets its own fault, wherever it stands; nobody's answer moves."""
    asked = await ask()
    poison, fault = POISON[name]
    for place in (0, 10, 20):
        checks, expected = questions(20), [allowed(number) for number in range(20)]
        checks.insert(place, poison)
        expected.insert(place, fault)
        assert await together(asked, checks) == expected
    assert await asked.policy.evaluate(poison) == fault


@pytest.mark.slow
async def test_a_check_that_never_ends_harms_nobody_else(ask: Ask) -> None:
    """A loop costs nobody else their answer: it alone is `policy_error`, and the server is not given up."""
    asked = await ask(deadline_seconds=2.0)
    checks = [*questions(5), question(loop=True)]
    assert await together(asked, checks) == [*(allowed(number) for number in range(5)), ERROR]
    assert asked.server.breaker.closed


@pytest.mark.parametrize(
    "batch_answer",
    [
        pytest.param([allow(9)], id="too short"),
        pytest.param([allow(9)] * 4, id="too long"),
        pytest.param([allow(9), allow(9), {"allow": "true"}], id="a malformed item"),
        pytest.param([allow(9), None, allow(9)], id="null for an item"),
        pytest.param({"0": allow(9), "1": allow(9), "2": allow(9)}, id="an object"),
        pytest.param("yes", id="a string"),
        pytest.param(True, id="true"),
    ],
)
async def test_a_malformed_batch_is_thrown_away_whole(ask: Ask, batch_answer: object) -> None:
    """Nothing of an answer of another length or shape is used: every check is evaluated alone."""
    asked = await ask()
    checks = [question(answer=allow(0), batch_answer=batch_answer), *questions(3)[1:]]
    assert await asked.policy.evaluate_all(checks) == [allowed(0), allowed(1), allowed(2)]


async def test_without_decisions_each_check_is_evaluated_alone(ask: Ask) -> None:
    """`decisions` is optional in a policy: one call for each check then, and `explain` is none."""
    asked = await ask("single", entrypoints=("authz/decision", "authz/catalogue"))
    before = await asyncio.to_thread(asked.opa.requests)
    assert await together(asked, questions(40)) == [allowed(number) for number in range(40)]
    assert await asyncio.to_thread(asked.opa.requests) - before == 40
    assert await asked.policy.explain(question(explanation={"held": {}})) is None


async def test_an_explanation_is_read_whole(ask: Ask) -> None:
    """`explain` comes through the server; one that is undefined or malformed is none."""
    asked = await ask()
    said = {"held": {"a": ["role"]}, "granted_by": {"a": ["user"]}, "would_grant": ["admin"]}
    expected = Explanation(held={"a": ("role",)}, granted_by={"a": ("user",)}, would_grant=("admin",))
    assert expected == await asked.policy.explain(question(explanation=said))
    assert await asked.policy.explain(question()) is None
    assert await asked.policy.explain(question(explanation={"held": 1})) is None
    assert await asked.policy.explain(b'{"explanation": "\\ud800"}') is None


async def test_large_checks_share_no_call(ask: Ask) -> None:
    """Checks that are too large together go apart."""
    asked = await ask()
    before = await asyncio.to_thread(asked.opa.requests)
    large = [question(answer=allow(number), filler="x" * 400_000) for number in range(4)]
    assert await together(asked, large) == [allowed(number) for number in range(4)]
    assert await asyncio.to_thread(asked.opa.requests) - before == 2


async def test_nobody_is_left_waiting_by_those_who_left(ask: Ask) -> None:
    """A caller that gives up in the middle of a batch changes nothing for the others."""
    asked = await ask()
    tasks = [asyncio.create_task(asked.policy.evaluate(check)) for check in questions(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in done if isinstance(each, PolicyDecision)] == [allowed(n) for n in range(10) if n != 3]
