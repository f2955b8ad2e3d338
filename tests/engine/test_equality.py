"""Three ways to evaluate one policy agree: the prepared call, opa-py-wasm's own `evaluate`, and the `opa` program.

AUTHZ_TEST_EXAMPLES says on how many generated inputs.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opapywasm import UNDEFINED, OpaWasmPolicy

from authz.bundle import read
from authz.core import read_catalogue
from authz.engine import Counts, EmbeddedPolicy
from authz.engine.module import PreparedModule
from tests.engine.conftest import ROOT, Compile, Compiled

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


def thorough(examples: int) -> settings:
    """Settings for inputs that are large and slow to make."""
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def or_junk(sound: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nearly always what is expected, else anything."""
    return st.integers(0, 19).flatmap(lambda dice: sound if dice else JUNK)


def checks(subjects: Subjects) -> st.SearchStrategy[Any]:
    """Input documents in the words of the policy's own catalogue, with junk in every place."""
    module = subjects.prepared
    catalogue = read_catalogue(module.evaluate(module.entrypoints["authz/catalogue"], b"{}"))
    roles = st.lists(or_junk(st.sampled_from([*catalogue.roles, "nobody"])), max_size=3)
    scope = st.sampled_from([*catalogue.scopes, "openid", "email", "unheard:of"])
    ids = st.sampled_from(["u1", "u2", "", "42"])
    subject = st.fixed_dictionaries(
        {"type": or_junk(st.sampled_from(["user", "user", "service", "anonymous"])), "id": or_junk(ids)},
        optional={
            "roles": or_junk(roles),
            "scopes": or_junk(st.lists(or_junk(scope), max_size=4)),
            "issuer": or_junk(st.just("https://issuer.example")),
            "properties": or_junk(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "scope_mode": or_junk(st.sampled_from(["restrict", "grant", "ignore"])),
                        "claims": or_junk(
                            st.fixed_dictionaries(
                                {},
                                optional={
                                    "acr": or_junk(st.sampled_from(["1", "urn:mace:incommon:iap:silver"])),
                                    "amr": or_junk(st.lists(st.sampled_from(["pwd", "otp", "mfa", "hwk"]))),
                                },
                            )
                        ),
                    },
                )
            ),
        },
    )

    def asked(row: Any) -> st.SearchStrategy[Any]:
        methods = st.sampled_from([row.method, row.method, row.method, "GET", "OPTIONS", "TRACE"])
        params = {name: or_junk(ids) for name in row.params}
        return st.tuples(
            methods,
            st.fixed_dictionaries(
                {"type": or_junk(st.just("route")), "id": or_junk(st.just("/target"))},
                optional={
                    "route": or_junk(st.just(row.path)),
                    "params": or_junk(st.fixed_dictionaries(params)),
                    "host": or_junk(st.just(row.host or "api.example.com")),
                    "properties": JUNK,
                },
            ),
        )

    routes = st.sampled_from(catalogue.routes).flatmap(asked)
    scopes = st.tuples(
        st.sampled_from(["use", "use", "GET"]), st.fixed_dictionaries({"type": st.just("scope"), "id": or_junk(scope)})
    )
    context = st.fixed_dictionaries(
        {},
        optional={
            "now": or_junk(st.sampled_from([0, 1_700_000_000, 1_798_761_599, 1_798_761_600, 4_000_000_000.5])),
            "ip": or_junk(st.sampled_from(["10.0.0.7", "192.0.2.1", "::1", "not an address"])),
            "extra": JUNK,
        },
    )

    def whole(parts: Any) -> dict[str, Any]:
        who, (method, resource), around = parts
        return {"subject": who, "action": {"name": method}, "resource": resource, "context": around}

    question = st.tuples(or_junk(subject), st.one_of(routes, routes, routes, scopes), or_junk(context)).map(whole)
    return or_junk(question)


@pytest.mark.parametrize("entrypoint", ["authz/decision", "authz/explain"])
def test_the_three_ways_agree(subjects: Subjects, entrypoint: str, opa_binary: Path, examples: int) -> None:
    """On any input, junk too: the same answer from the prepared call, the library and the `opa` program.

    Not where `explain` replaces a part of the input (`with input.subject.roles as ..`) and the input is no object: the
    guest then takes something else in its memory for one. Every check is an object.
    """
    asked: list[Any] = []
    answers: list[list[Any]] = []

    @thorough(examples if entrypoint == "authz/decision" else examples // 4)
    @given(checks(subjects))
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
    @given(st.lists(checks(subjects), max_size=20))
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
