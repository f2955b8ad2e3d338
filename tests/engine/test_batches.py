"""Many questions: everybody gets the answer to their own."""

import asyncio
from typing import Any

import msgspec
import pytest

from authz.core import BREACH, ERROR, UNDEFINED, PolicyDecision
from authz.engine import BATCH_ITEMS, DEADLINE_SECONDS, EmbeddedPolicy
from tests.engine.conftest import Load

pytestmark = pytest.mark.usefixtures("kind")


def allow(number: int) -> dict[str, Any]:
    return {"allow": True, "reason": "scope_granted", "scopes": [f"scope:{number}"]}


def allowed(number: int) -> PolicyDecision:
    return PolicyDecision(allow=True, reason="scope_granted", scopes=(f"scope:{number}",))


def question(**members: Any) -> bytes:
    return msgspec.json.encode(members)


def questions(count: int) -> list[bytes]:
    return [question(answer=allow(number)) for number in range(count)]


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The documents that were evaluated."""
    seen: list[bytes] = []
    ask = EmbeddedPolicy._ask

    def asked(self: EmbeddedPolicy, entrypoint: int | None, document: bytes) -> bytes | None:
        seen.append(document)
        return ask(self, entrypoint, document)

    monkeypatch.setattr(EmbeddedPolicy, "_ask", asked)
    return seen


async def test_a_batch_is_one_evaluation(load: Load, evaluations: list[bytes]) -> None:
    """64 checks cost one evaluation and come back in order."""
    policy = load("obedient", fresh=True)
    assert [allowed(number) for number in range(64)] == await policy.evaluate_all(questions(64))
    assert len(evaluations) == 1


async def test_no_question_has_no_answer(load: Load, evaluations: list[bytes]) -> None:
    """An empty batch is an empty answer, without asking."""
    assert await load("obedient").evaluate_all([]) == []
    assert evaluations == []


async def test_three_hundred_at_once_are_three_hundred_alone(load: Load, evaluations: list[bytes]) -> None:
    """A batch over one evaluation's number is cut, and gives what each check gives alone."""
    policy = load("roles")
    checks = [
        question(
            subject={"roles": roles}, action={"name": method}, resource={"route": "/memory/{id}"}, context={"at": at}
        )
        for at in range(50)
        for roles in (["viewer"], ["user"], [])
        for method in ("GET", "DELETE")
    ]
    together = await policy.evaluate_all(checks)
    assert len(checks) == 300
    assert len(evaluations) == -(-300 // BATCH_ITEMS)
    assert [await policy.evaluate(check) for check in checks] == together


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(question(answer=allow(0), other_answer=allow(1)), id="a conflict"),
        pytest.param(question(loop=True), id="a loop"),
        pytest.param(b'{"answer": "\\ud800"}', id="a lone surrogate"),
    ],
)
async def test_a_poisoned_check_harms_nobody_else(load: Load, poison: bytes) -> None:
    """Among 63 good checks the offender alone gets `policy_error`, the others their own answers."""
    policy = load("obedient", deadline_seconds=DEADLINE_SECONDS)
    for place in (0, 31, 63):
        checks = questions(63)
        checks.insert(place, poison)
        expected = [allowed(number) for number in range(63)]
        expected.insert(place, ERROR)
        assert expected == await policy.evaluate_all(checks)


async def test_an_undefined_check_moves_nobody(load: Load) -> None:
    """A check without an answer vanishes from the policy's list: nobody gets the neighbour's answer that moved up."""
    policy = load("obedient")
    for place in (0, 31, 63):
        checks = questions(63)
        checks.insert(place, question())
        expected = [allowed(number) for number in range(63)]
        expected.insert(place, UNDEFINED)
        assert expected == await policy.evaluate_all(checks)


async def test_a_breach_of_the_contract_stays_where_it_is(load: Load) -> None:
    """A check whose answer is outside the contract is a denial by itself."""
    checks = [question(answer=allow(0)), question(answer=allow(1) | {"allow": "true"}), question(answer=allow(2))]
    assert [allowed(0), BREACH, allowed(2)] == await load("obedient").evaluate_all(checks)


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
async def test_a_malformed_batch_is_thrown_away_whole(load: Load, batch_answer: object) -> None:
    """Nothing of an answer of another length or shape is used: every check is evaluated alone."""
    checks = [question(answer=allow(0), batch_answer=batch_answer), *questions(3)[1:]]
    assert [allowed(0), allowed(1), allowed(2)] == await load("obedient").evaluate_all(checks)


async def test_without_decisions_each_check_is_evaluated_alone(load: Load, evaluations: list[bytes]) -> None:
    """`decisions` is optional in a policy."""
    policy = load("single", "decision", "catalogue")
    assert [allowed(number) for number in range(40)] == await policy.evaluate_all(questions(40))
    assert questions(40) == evaluations


async def test_a_batch_that_fails_is_followed_by_smaller_ones(load: Load, evaluations: list[bytes]) -> None:
    """What is too slow together, or has a looping check in it, costs a deadline now and then and not every time."""
    policy = load("obedient", fresh=True)
    poison = b'{"answer": "\\ud800"}'
    together = []
    for checks in [*[[*questions(63), poison]] * 5, *[questions(64)] * 301]:
        evaluations.clear()
        answers = await policy.evaluate_all(checks)
        assert answers[:63] == [allowed(number) for number in range(63)]
        together.append(evaluations[0].count(b'"answer"'))
    assert together[:6] == [64, 32, 16, 8, 1, 1]
    assert together[-1] == 64


async def test_large_checks_share_no_evaluation(load: Load, evaluations: list[bytes]) -> None:
    """Checks that are too large together are evaluated apart; one that is too large alone is `policy_error`."""
    large = [question(answer=allow(number), filler="x" * 400_000) for number in range(4)]
    huge = question(answer=allow(4), filler="x" * 1_000_000)
    policy = load("obedient", fresh=True)
    assert [allowed(0), allowed(1), allowed(2), allowed(3), ERROR] == await policy.evaluate_all([*large, huge])
    assert policy.counts.traps == 0
    assert max(map(len, evaluations[:1])) < 1_000_000


async def test_others_get_a_turn_within_a_long_batch(load: Load) -> None:
    """Between the pieces of a batch, and after every check that failed, the event loop serves others."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    policy = load("obedient", fresh=True)
    beside = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = turns
    await policy.evaluate_all(questions(3 * BATCH_ITEMS))
    assert turns - before == 2
    before = turns
    await policy.evaluate_all([b'{"answer": "\\ud800"}'] * 5)
    assert turns - before == 5
    beside.cancel()
