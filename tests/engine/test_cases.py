"""One truth: each decision case has one answer: from raw Rego, from the bundle, in process and from an OPA server."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from authz import bundle
from authz.config import OpaSettings
from authz.core import PolicyDecision, read_decisions
from authz.engine import Counts, EmbeddedEngine
from authz.engine.opa import local_engine
from tests.cases.reading import SCHEMA, read_cases, schema
from tests.conftest import ROOT

CASES = read_cases()
CHECKS = [msgspec.json.encode(case.input) for case in CASES.values()]
Decide = Callable[[Path, Path], Awaitable[list[PolicyDecision]]]


def by_the_program(opa: Path, policy: Path) -> list[PolicyDecision]:
    """`opa eval`, all cases in one evaluation."""
    query = "[answer | some check in input.checks; answer := data.authz.decision with input as check]"
    command = [str(opa), "eval", "--bundle", str(policy), "--stdin-input", "--format", "raw", query]
    done = subprocess.run(command, input=b'{"checks":[%b]}' % b",".join(CHECKS), capture_output=True, check=True)
    answers = read_decisions(b'[{"result":%b}]' % done.stdout, len(CHECKS))
    assert answers is not None
    return list(answers)


async def by_rego(opa: Path, _state: Path) -> list[PolicyDecision]:
    """The sources as they are edited, without a closure that was computed before."""
    return await asyncio.to_thread(by_the_program, opa, ROOT / "policies")


async def by_bundle(opa: Path, state: Path) -> list[PolicyDecision]:
    """The bundle as any OPA reads it."""
    (state / "default.tar.gz").write_bytes(bundle.shipped_archive())
    return await asyncio.to_thread(by_the_program, opa, state / "default.tar.gz")


async def by_embedded(_opa: Path, _state: Path) -> list[PolicyDecision]:
    """In process, one by one."""
    policy = await EmbeddedEngine(5.0, Counts()).load(bundle.read_shipped())
    try:
        return [await policy.evaluate(check) for check in CHECKS]
    finally:
        policy.close()


async def by_server(opa: Path, state: Path) -> list[PolicyDecision]:
    """An OPA server, one by one and then all at once: the same."""
    engine = await local_engine(OpaSettings(program=str(opa), deadline_seconds=5.0), state)
    try:
        policy = await engine.load(bundle.read_shipped())
        alone = [await policy.evaluate(check) for check in CHECKS]
        assert await policy.evaluate_all(CHECKS) == alone
        return alone
    finally:
        await engine.close()


@pytest.mark.parametrize("decide", [by_rego, by_bundle, by_embedded, by_server], ids=lambda way: way.__name__)
async def test_every_case_has_its_answer(decide: Decide, opa_binary: Path, tmp_path: Path) -> None:
    """The whole decision is the one in the file, whoever evaluates it."""
    answers = await decide(opa_binary, tmp_path)
    said = dict(zip(CASES, (msgspec.structs.replace(answer, limits=()) for answer in answers), strict=True))
    assert said == {name: case.decision for name, case in CASES.items()}


def test_there_are_cases_of_every_kind() -> None:
    """Allows and denials, and each reason that the default policy can give but those that need other data."""
    reasons = {case.reason for case in CASES.values()}
    assert len(CASES) >= 60
    assert reasons == {
        "scope_granted",
        "public_route",
        "scope_missing",
        "not_owner",
        "unknown_role",
        "unknown_scope",
        "unknown_resource_type",
        "unmatched_route",
    }


def test_the_schema_is_fresh() -> None:
    """Editors are told what the reader takes."""
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "run `python -m tests.cases.reading`"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: []", "length >= 1"),
        ("cases: [{name: a, input: {}, allow: yes please, reason: x}]", "Expected `bool`"),
        ("cases: [{name: a, input: {}, allow: true, reason: x, alow: true}]", "unknown field `alow`"),
        ("cases: [{name: a, input: {}, allow: true}]", "missing required field `reason`"),
        (f"cases: [{', '.join(2 * ['{name: a, input: {}, allow: true, reason: x}'])}]", "there are two cases 'a'"),
    ],
)
def test_a_case_that_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A typing mistake in a case is an error, not a case that always holds."""
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises((msgspec.ValidationError, ValueError), match=said):
        read_cases(tmp_path)
