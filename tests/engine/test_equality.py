"""Three ways to evaluate one policy agree: the prepared call, opa-py-wasm's own `evaluate`, and the `opa` program.

AUTHZ_TEST_EXAMPLES says on how many generated inputs.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opapywasm import UNDEFINED, OpaWasmPolicy

from authz.bundle import read
from authz.core import read_catalogue
from authz.engine import Counts, EmbeddedPolicy
from authz.engine.module import PreparedModule
from tests.engine.conftest import ROOT, Compile, Compiled
from tests.engine.generated import checks, thorough

decode = msgspec.json.decode
encode = msgspec.json.encode

pytestmark = pytest.mark.timeout(900)

NOTHING: list[Any] = []
"""An undefined answer; `[answer]` is a defined one."""


SHIPPED = ROOT / "authz" / "bundles" / "default.tar.gz"


class Subjects(NamedTuple):
    """One policy, ready to be asked in each way; `sources` is what the `opa` program takes as a bundle."""

    prepared: PreparedModule
    library: OpaWasmPolicy
    sources: Path


@pytest.fixture(scope="module", params=["small", "default"])
def subjects(request: pytest.FixtureRequest, compile_policy: Compile) -> Iterator[Subjects]:
    """The small policy of these tests, and the default policy as it ships."""
    compiled = compile_policy("roles") if request.param == "small" else shipped()
    prepared = PreparedModule(compiled.wasm, compiled.data, deadline_seconds=1, counts=Counts())
    library = OpaWasmPolicy.from_wasm_bytes(compiled.wasm)
    library.set_data(compiled.data)
    yield Subjects(prepared, library, compiled.sources)
    prepared.close()
    library.close()


def shipped() -> Compiled:
    bundle = read(SHIPPED)
    return Compiled(bundle.wasm, bundle.data_json, SHIPPED)


def by_prepared(subjects: Subjects, entrypoint: str, document: Any) -> list[Any]:
    module = subjects.prepared
    return [one["result"] for one in decode(module.evaluate(module.entrypoints[entrypoint], encode(document)))]


def by_library(subjects: Subjects, entrypoint: str, document: Any) -> list[Any]:
    answer = subjects.library.evaluate(encode(document), entrypoint)
    return NOTHING if answer is UNDEFINED else [answer]


def by_opa(opa: Path, subjects: Subjects, entrypoint: str, documents: list[Any]) -> list[list[Any]]:
    query = f"[[a | a := data.{entrypoint.replace('/', '.')} with input as check] | some check in input.checks]"
    done = subprocess.run(
        [str(opa), "eval", "--bundle", str(subjects.sources), "--stdin-input", "--format", "json", query],
        input=encode({"checks": documents}),
        capture_output=True,
        check=True,
    )
    answers: list[list[Any]] = decode(done.stdout)["result"][0]["expressions"][0]["value"]
    return answers


def checks_of(subjects: Subjects) -> st.SearchStrategy[Any]:
    """Input documents in the words of the policy's own catalogue."""
    module = subjects.prepared
    return checks(read_catalogue(module.evaluate(module.entrypoints["authz/catalogue"], b"{}")))


@pytest.mark.parametrize("entrypoint", ["authz/decision", "authz/explain"])
def test_the_three_ways_agree(subjects: Subjects, entrypoint: str, opa_binary: Path, examples: int) -> None:
    """On any input, junk too: the same answer from the prepared call, the library and the `opa` program.

    Not where `explain` replaces a part of the input (`with input.subject.roles as ..`) and the input is no object: the
    guest then takes something else in its memory for one. Every check is an object.
    """
    asked: list[Any] = []
    answers: list[list[Any]] = []

    @thorough(examples if entrypoint == "authz/decision" else examples // 4)
    @given(checks_of(subjects))
    def the_library_agrees(document: Any) -> None:
        assume(entrypoint == "authz/decision" or isinstance(document, dict))
        answer = by_prepared(subjects, entrypoint, document)
        assert answer == by_library(subjects, entrypoint, document)
        asked.append(document)
        answers.append(answer)

    the_library_agrees()
    for start in range(0, len(asked), 1_000):
        piece = slice(start, start + 1_000)
        theirs = by_opa(opa_binary, subjects, entrypoint, asked[piece])
        three = zip(asked[piece], answers[piece], theirs, strict=True)
        assert [(document, ours, opas) for document, ours, opas in three if ours != opas] == []
    assert len(asked) >= min(examples // 4, 25)


def test_a_batch_is_what_its_checks_are_alone(subjects: Subjects, examples: int) -> None:
    """One evaluation of many generated checks gives, in order, what one evaluation of each gives."""

    @thorough(max(5, examples // 20))
    @given(st.lists(checks_of(subjects), max_size=20))
    def a_batch_agrees(documents: list[Any]) -> None:
        alone = [answer for document in documents for answer in by_prepared(subjects, "authz/decision", document)]
        assert by_prepared(subjects, "authz/decisions", {"checks": documents}) == [alone]

    a_batch_agrees()


async def test_the_shipped_policy_is_within_the_contract() -> None:
    """The default bundle loads, takes the prepared call, and what it allows is an allow when it is read."""
    bundle = shipped()
    policy = EmbeddedPolicy.load(bundle.wasm, bundle.data, "r1")
    try:
        health = {"type": "route", "id": "/health", "route": "/health", "properties": {}}
        anonymous = {"type": "anonymous", "id": "", "roles": [], "properties": {}}
        check = {"subject": anonymous, "action": {"name": "GET"}, "resource": health, "context": {"now": 1}}
        decision = await policy.evaluate(encode(check))
        assert (decision.allow, decision.reason) == (True, "public_route")
        assert policy.prepared
    finally:
        policy.close()
