"""One question, one answer: what the policy says is held to the contract, and what it does wrong is data."""

import time
from typing import Any

import msgspec
import pytest

from authz.core import BREACH, ERROR, UNDEFINED, Catalogue, Explanation, Limit, PolicyDecision
from authz.engine import DEADLINE_SECONDS
from tests.engine.conftest import Load

pytestmark = pytest.mark.usefixtures("kind")

ALLOW = {"allow": True, "reason": "scope_granted", "scopes": ["memory:read"]}
ALLOWED = PolicyDecision(allow=True, reason="scope_granted", scopes=("memory:read",))


def question(**members: Any) -> bytes:
    return msgspec.json.encode(members)


async def test_a_good_decision_is_read_whole(load: Load) -> None:
    """Every member of a decision comes through as the policy said it."""
    answer = {
        "allow": False,
        "reason": "scope_missing",
        "scopes": ["memory:read", "memory:write"],
        "missing": ["memory:write"],
        "limits": [{"scope": "memory:read", "count": 5, "per_seconds": 60, "burst": 9}],
        "headers": {"X-Tenant": "acme"},
        "granted_by": {"memory:read": ["user"]},
    }
    expected = PolicyDecision(
        allow=False,
        reason="scope_missing",
        scopes=("memory:read", "memory:write"),
        missing=("memory:write",),
        limits=(Limit(scope="memory:read", count=5, per_seconds=60, burst=9),),
        headers={"X-Tenant": "acme"},
        granted_by={"memory:read": ("user",)},
    )
    assert expected == await load("obedient").evaluate(question(answer=answer))


async def test_roles_grant_scopes(load: Load) -> None:
    """The policy's data document is what it decides by."""
    policy = load("roles")
    viewer = {"subject": {"roles": ["viewer"]}, "resource": {"route": "/memory/{id}"}}
    missing = PolicyDecision(allow=False, reason="scope_missing", scopes=("memory:write",), missing=("memory:write",))
    assert await policy.evaluate(question(**viewer, action={"name": "GET"})) == ALLOWED
    assert missing == await policy.evaluate(question(**viewer, action={"name": "DELETE"}))


async def test_undefined_is_a_denial(load: Load) -> None:
    """A policy that says nothing does not allow."""
    assert await load("obedient").evaluate(question()) == UNDEFINED


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ALLOW | {"allow": "true"}, id="allow is a string"),
        pytest.param(ALLOW | {"allow": 1}, id="allow is a number"),
        pytest.param(ALLOW | {"allow": None}, id="allow is null"),
        pytest.param({"reason": "scope_granted", "scopes": []}, id="allow is absent"),
        pytest.param(ALLOW | {"also": 1}, id="an extra key"),
        pytest.param(ALLOW | {"scopes": "memory:read"}, id="scopes is a string"),
        pytest.param(ALLOW | {"scopes": [1]}, id="a scope is a number"),
        pytest.param(ALLOW | {"limits": [{"scope": "a", "count": 0, "per_seconds": 1}]}, id="a limit of nothing"),
        pytest.param(ALLOW | {"headers": {"X-Authz-Subject": "root"}}, id="a header that is ours"),
        pytest.param(ALLOW | {"reason": "because"}, id="a reason outside the table"),
        pytest.param(ALLOW | {"reason": "scope_missing"}, id="a reason of a denial"),
        pytest.param(ALLOW | {"reason": "token_expired"}, id="a reason that is not the policy's"),
        pytest.param({"allow": False, "reason": "policy_error", "scopes": []}, id="a reason of ours"),
        pytest.param(True, id="a bare true"),
        pytest.param([ALLOW], id="a list"),
        pytest.param(None, id="null"),
    ],
)
async def test_an_answer_outside_the_contract_is_a_denial(load: Load, answer: object) -> None:
    """Anything that is not exactly a decision is `policy_contract`, never an allow."""
    assert await load("obedient").evaluate(question(answer=answer)) == BREACH


async def test_a_declared_reason_is_a_reason(load: Load) -> None:
    """A policy may deny with the reasons that its catalogue declares."""
    answer = {"allow": False, "reason": "office_closed", "scopes": []}
    expected = PolicyDecision(allow=False, reason="office_closed", scopes=())
    assert expected == await load("obedient").evaluate(question(answer=answer))


async def test_an_explanation_is_read_whole(load: Load) -> None:
    """`explain` comes through; one that is undefined or malformed is none."""
    policy = load("obedient")
    said = {"held": {"a": ["role"]}, "granted_by": {"a": ["user"]}, "would_grant": ["admin"]}
    expected = Explanation(held={"a": ("role",)}, granted_by={"a": ("user",)}, would_grant=("admin",))
    assert expected == await policy.explain(question(explanation=said))
    assert await policy.explain(question()) is None
    assert await policy.explain(question(explanation={"held": 1})) is None
    assert await load("single", "decision", "catalogue").explain(question(explanation=said)) is None


async def test_the_catalogue_and_the_route_table_come_from_the_policy(load: Load) -> None:
    """What the policy knows is known as soon as it is loaded, under its revision."""
    policy = load("roles")
    assert policy.revision == "0123456789abcdef"
    assert policy.engine == "embedded"
    assert policy.catalogue.roles == ("admin", "guest", "user", "viewer")
    assert policy.catalogue.scopes == ("admin:users:read", "memory:read", "memory:write")
    match = policy.routes.match("DELETE", ("memory", "42"))
    assert match is not None
    assert (match.route.path, match.route.all_of, match.params) == ("/memory/{id}", ("memory:write",), {"id": "42"})
    assert load("obedient").catalogue == Catalogue(scopes=("memory:read",), roles=("user",), reasons=("office_closed",))


async def test_a_conflict_costs_one_answer(load: Load) -> None:
    """Two rules that contradict each other abort the evaluation: the next question is answered as if nothing was."""
    policy = load("obedient", fresh=True)
    other = {"allow": False, "reason": "scope_missing", "scopes": []}
    assert await policy.evaluate(question(answer=ALLOW, other_answer=other)) == ERROR
    assert await policy.evaluate(question(answer=ALLOW)) == ALLOWED
    assert (policy.counts.traps, policy.counts.rebuilds) == (1, 1)


async def test_a_loop_ends_at_the_deadline(load: Load) -> None:
    """A policy that does not come to an end is stopped after its 50 ms, and the next question is answered."""
    policy = load("obedient", deadline_seconds=DEADLINE_SECONDS, fresh=True)
    assert await policy.evaluate(question(answer=ALLOW)) == ALLOWED
    started = time.thread_time()
    assert await policy.evaluate(question(loop=True)) == ERROR
    # 55-65 ms of computing, when nobody else wants the processors: the thread that counts ticks wants one too.
    assert time.thread_time() - started < 1.0
    assert await policy.evaluate(question(answer=ALLOW)) == ALLOWED
    assert policy.counts.traps == 1
    assert policy.counts.deadlines == (1 if policy.prepared else 0)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b'{"answer": "\\ud800"}', id="a lone surrogate"),
        pytest.param(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep nesting"),
    ],
)
async def test_input_that_traps_costs_one_answer(load: Load, document: bytes) -> None:
    """Bytes that no check of ours can hold break the guest, not the process: the next answer is right."""
    policy = load("obedient", fresh=True)
    for traps in range(1, 4):
        assert await policy.evaluate(document) == ERROR
        assert await policy.evaluate(question(answer=ALLOW)) == ALLOWED
        assert policy.counts.traps == policy.counts.rebuilds == traps


@pytest.mark.parametrize("depth", [1, 2, 31, 32, 33, 64, 128, 512, 1024, 2048, 4096, 8192])
async def test_nesting_never_gives_another_answer(load: Load, depth: int) -> None:
    """However deep the input: the answer is the one that is right, or `policy_error`."""
    document = b'{"answer": %b, "x": %b1%b}' % (msgspec.json.encode(ALLOW), b"[" * depth, b"]" * depth)
    policy = load("obedient")
    answer = await policy.evaluate(document)
    assert answer == ALLOWED or (depth > 32 and answer == ERROR)
    assert await policy.evaluate(question()) == UNDEFINED


async def test_too_large_a_question_never_reaches_the_guest(load: Load) -> None:
    """A question over 1 MB is `policy_error` at once."""
    policy = load("obedient", fresh=True)
    assert await policy.evaluate(question(answer=ALLOW, filler="x" * 1_000_000)) == ERROR
    assert policy.counts.traps == 0


async def test_text_comes_back_as_it_went_in(load: Load) -> None:
    """NUL, quotes, control characters and characters beyond 16 bits survive the way in and out."""
    scope = 'a\x00b"\\\x1f\x7f\u00e9\u2028\U0001f511'
    expected = PolicyDecision(allow=True, reason="scope_granted", scopes=(scope,))
    assert expected == await load("obedient").evaluate(question(answer=ALLOW | {"scopes": [scope]}))


async def test_a_closed_policy_could_not_decide(load: Load) -> None:
    """After `close` every answer is `policy_error`; closing again does nothing."""
    policy = load("obedient", fresh=True)
    policy.close()
    policy.close()
    assert await policy.evaluate(question(answer=ALLOW)) == ERROR
    assert await policy.evaluate_all([question(answer=ALLOW)] * 2) == [ERROR, ERROR]


async def test_each_layout_has_its_way(load: Load, kind: str) -> None:
    """A wasmtime-py that is laid out as we know takes the prepared call, another one the library's own."""
    assert load("obedient").prepared is (kind == "prepared")
