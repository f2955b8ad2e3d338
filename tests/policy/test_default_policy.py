"""The shipped policy as it runs: what each role may do, and one answer whoever evaluates it."""

import asyncio
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector
from opapywasm import OpaWasmPolicy, PolicyConfig

from authz import bundle
from authz.core import BREACH, read_catalogue, read_decision
from tests.policy.conftest import ROOT

POLICIES = ROOT / "policies"

Input = dict[str, Any]

# What each role may do where a parameter is its own ID. `/users/...` is the owner's, or an administrator's.
MATRIX = {
    "user_basic": """
        /ai/chat POST
        /calendar/events GET
        /calendar/events/{id} GET
        /memory GET
        /memory/{id} GET
        /memory/search POST
        /photos GET
        /photos/{id} GET
        /users/{id}/privacy GET
        /users/{id}/profile GET
        /users/{id}/settings GET
        /ws GET
    """,
    "user_premium": """
        /ai/chat POST
        /ai/personalization PUT
        /ai/voice POST
        /calendar/events GET POST
        /calendar/events/{id} GET PUT DELETE
        /calendar/events/{id}/share POST
        /memory GET POST
        /memory/{id} GET PUT DELETE
        /memory/search POST
        /photos GET POST
        /photos/{id} GET DELETE
        /photos/{id}/share POST
        /users/{id}/privacy GET PUT
        /users/{id}/profile GET PUT
        /users/{id}/settings GET PUT
        /ws GET
    """,
    "caregiver_basic": """
        /calendar/events GET
        /calendar/events/{id} GET
        /care/{id} GET
        /memory GET
        /memory/{id} GET
        /photos GET
        /photos/{id} GET
        /users/{id}/profile GET
        /ws GET
    """,
    "caregiver_advanced": """
        /calendar/events GET POST
        /calendar/events/{id} GET PUT DELETE
        /care/{id} GET
        /memory GET POST
        /memory/{id} GET PUT DELETE
        /photos GET POST
        /photos/{id} GET DELETE
        /users/{id}/profile GET PUT
        /ws GET
    """,
    "admin_readonly": """
        /admin/audit GET
        /admin/config GET
        /admin/metrics GET
        /admin/security GET
        /admin/users GET
        /admin/users/{id} GET
        /users/{id}/privacy GET
        /users/{id}/profile GET
        /users/{id}/settings GET
        /ws GET
    """,
    "admin": """
        /admin/audit GET
        /admin/config GET PUT
        /admin/metrics GET
        /admin/security GET PUT
        /admin/users GET POST
        /admin/users/{id} GET PUT DELETE
        /admin/users/{id}/impersonate POST
        /users/{id}/privacy GET PUT
        /users/{id}/profile GET PUT
        /users/{id}/settings GET PUT
        /ws GET
    """,
}


def operations(role: str) -> set[str]:
    """A role's row of the matrix, as `GET /path`."""
    rows = (line.split() for line in MATRIX[role].splitlines() if line.strip())
    return {f"{method} {path}" for path, *methods in rows for method in methods}


@pytest.fixture(scope="module")
def module() -> Iterator[OpaWasmPolicy]:
    """The shipped module with its data."""
    shipped = bundle.read_shipped()
    policy = OpaWasmPolicy.from_wasm_bytes(shipped.wasm, PolicyConfig(pool_size=1))
    policy.set_data(shipped.data_json)
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def catalogue(module: OpaWasmPolicy) -> dict[str, Any]:
    """The shipped catalogue, as it stands in the answer."""
    answer = module.evaluate({}, "authz/catalogue")
    assert isinstance(answer, dict)
    return answer


def ask(roles: list[str], method: str, template: str, own: str) -> Input:
    """A question about a route whose `id` is `own`, asked by the user u1."""
    resource = {"type": "route", "id": template, "route": template, "params": {"id": own}}
    return {
        "subject": {"type": "user", "id": "u1", "roles": roles},
        "action": {"name": method},
        "resource": resource,
        "context": {"now": 1_800_000_000},
    }


def allowed(module: OpaWasmPolicy, catalogue: dict[str, Any], roles: list[str], own: str) -> set[str]:
    """The operations that are not public and that these roles may do."""
    closed = [(route["method"], route["path"]) for route in catalogue["routes"] if not route["public"]]
    answers = module.evaluate({"checks": [ask(roles, *operation, own) for operation in closed]}, "authz/decisions")
    assert isinstance(answers, list)
    return {
        f"{method} {path}"
        for (method, path), answer in zip(closed, answers, strict=True)
        if isinstance(answer, dict) and answer["allow"] is True
    }


@pytest.mark.parametrize("role", MATRIX)
def test_what_a_role_may_do(module: OpaWasmPolicy, catalogue: dict[str, Any], role: str) -> None:
    """Every role against every route, for one's own ID and for another's: the matrix is all of it."""
    own = operations(role)
    others = own if role.startswith("admin") else {operation for operation in own if " /users/" not in operation}

    assert allowed(module, catalogue, [role], "u1") == own
    assert allowed(module, catalogue, [role], "u2") == others


def test_the_roles_of_the_table_are_all_there_are(module: OpaWasmPolicy, catalogue: dict[str, Any]) -> None:
    """Nobody without a role may do anything that is not public."""
    assert set(catalogue["roles"]) == set(MATRIX)
    assert allowed(module, catalogue, [], "u1") == set()


def test_an_administrator_reads_a_profile_as_one(module: OpaWasmPolicy) -> None:
    """The scopes of an allow are those that granted it, and each names the role that holds it."""
    assert module.evaluate(ask(["admin", "user_basic"], "GET", "/users/{id}/profile", "u2"), "authz/decision") == {
        "allow": True,
        "reason": "scope_granted",
        "scopes": ["admin:users:read"],
        "limits": [],
        "granted_by": {"admin:users:read": ["admin"]},
    }


def test_chatting_is_limited(module: OpaWasmPolicy) -> None:
    """A decision carries the limits of its route."""
    assert module.evaluate(ask(["user_basic"], "POST", "/ai/chat", "u1"), "authz/decision") == {
        "allow": True,
        "reason": "scope_granted",
        "scopes": ["ai:chat"],
        "limits": [{"scope": "ai:chat", "count": 60, "per_seconds": 60, "burst": 10}],
        "granted_by": {"ai:chat": ["user_basic"]},
    }


def test_the_catalogue_is_one_that_can_be_used(catalogue: dict[str, Any]) -> None:
    """The decision point reads it, and every `write` scope has its `read`."""
    read = read_catalogue(json.dumps([{"result": catalogue}]).encode())

    assert len(read.route_table()) == len(catalogue["routes"]) == 42
    written = {scope.removesuffix(":write") for scope in read.scopes if scope.endswith(":write")}
    assert {f"{scope}:read" for scope in written} <= set(read.scopes)


def test_the_stored_closure_is_the_computed_one(opa_binary: Path) -> None:
    """What the build stored and what the sources compute as they go are equal."""
    said = subprocess.run(
        [opa_binary, "eval", "-f", "json", "-b", ".", "data.authz.index.active"],
        cwd=POLICIES,
        capture_output=True,
        check=True,
    )
    computed = json.loads(said.stdout)["result"][0]["expressions"][0]["value"]

    assert json.loads(bundle.read_shipped().data_json)["authz"]["closure"] == computed


JUNK: list[Any] = [None, True, False, 0, -1.5, 1e308, "", "x", "\u2028", [], ["x"], [[]], {}, {"x": "admin"}]
ROLES = [*MATRIX, "offline_access", "uma_authorization"]
SCOPES = [
    "openid",
    "email",
    "memory:read",
    "memory:write",
    "user:profile:read",
    "admin:users:read",
    "admin:users:write",
    "ai:chat",
    "other",
]


class Questions:
    """Questions as they come and as they should not."""

    def __init__(self, seed: int, routes: list[dict[str, Any]]) -> None:
        self._random = random.Random(seed)
        self._routes = routes

    def one(self) -> Input:
        """A sensible question, in a third of the cases with something in it replaced by junk."""
        document = {
            "subject": self._subject(),
            "action": {"name": self._random.choice(["GET", "GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "use"])},
            "resource": self._resource(),
            "context": {"now": 1_800_000_000, "ip": self._random.choice(["10.0.0.1", "::1", "nowhere"])},
        }
        if self._random.random() < 0.33:
            self._spoil(document)
        return document

    def _subject(self) -> Input:
        choice, sample = self._random.choice, self._random.sample
        subject: Input = {
            "type": choice(["user", "user", "service", "anonymous"]),
            "id": choice(["u1", "u1", "u2", ""]),
            "roles": sample(ROLES, self._random.randint(0, 3)),
            "properties": {"claims": {}, "scope_mode": choice(["restrict", "grant", "ignore"])},
        }
        if choice([True, False]):
            subject["scopes"] = sample(SCOPES, self._random.randint(0, 4))
        return subject

    def _resource(self) -> Input:
        choice = self._random.choice
        if choice([True, False, False]):
            return {"type": "scope", "id": choice(SCOPES)}
        template = choice(self._routes)["path"]
        return {"type": "route", "id": template, "route": template, "params": {"id": choice(["u1", "u2"])}}

    def _spoil(self, document: Input) -> None:
        place: Input = document
        key = self._random.choice(list(place))
        while isinstance(place[key], dict) and place[key] and self._random.random() < 0.7:
            place = place[key]
            key = self._random.choice(list(place))
        if self._random.random() < 0.3:
            del place[key]
        else:
            place[key] = self._random.choice(JUNK)


@pytest.fixture(scope="module")
def questions(catalogue: dict[str, Any]) -> list[Input]:
    """Generated questions, the same in every run; how many by AUTHZ_TEST_EXAMPLES."""
    source = Questions(7, catalogue["routes"])
    return [{}, *(source.one() for _ in range(5 * int(os.environ.get("AUTHZ_TEST_EXAMPLES", "100"))))]


@pytest.fixture(scope="module")
def answers(module: OpaWasmPolicy, questions: list[Input]) -> list[Any]:
    """What the embedded module decides, one question at a time."""
    return [module.evaluate(question, "authz/decision") for question in questions]


def test_every_question_has_an_answer_within_the_contract(answers: list[Any], questions: list[Input]) -> None:
    """No input, however spoilt, leaves the decision undefined or out of shape, and no reason stays unsaid."""
    read = [read_decision(json.dumps([{"result": answer}]).encode()) for answer in answers]

    assert BREACH not in read
    assert {decision.reason for decision in read} == {
        "scope_granted",
        "public_route",
        "scope_missing",
        "not_owner",
        "unknown_role",
        "unknown_scope",
        "unknown_resource_type",
        "unmatched_route",
    }


def test_what_is_granted_is_named(answers: list[Any]) -> None:
    """On an allow each scope has its holders; on a deny what is missing is part of what is needed."""
    for answer in answers:
        if answer["allow"]:
            assert answer["scopes"] == sorted(answer.get("granted_by", {}))
        else:
            assert set(answer.get("missing", [])) <= set(answer["scopes"])


def test_a_batch_answers_like_single_questions(
    module: OpaWasmPolicy, questions: list[Input], answers: list[Any]
) -> None:
    """`decisions` gives each question the answer it gets alone."""
    for start in range(0, len(questions), 256):
        batch = json.dumps({"checks": questions[start : start + 256]})
        assert module.evaluate(batch, "authz/decisions") == answers[start : start + 256]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["the sources", "the bundle"])
def test_the_opa_binary_answers_like_the_module(
    opa_binary: Path, questions: list[Input], answers: list[Any], where: str
) -> None:
    """OPA's own evaluator, over the bare sources or over the bundle, decides as the compiled module does."""
    path = "." if where == "the sources" else str(ROOT / "bundles" / "default.tar.gz")
    said = subprocess.run(
        [opa_binary, "eval", "-f", "json", "-b", path, "--stdin-input", "data.authz.decisions"],
        cwd=POLICIES,
        input=json.dumps({"checks": questions}).encode(),
        capture_output=True,
        check=True,
    )

    assert json.loads(said.stdout)["result"][0]["expressions"][0]["value"] == answers


def test_explanations_agree_too(opa_binary: Path, module: OpaWasmPolicy, questions: list[Input]) -> None:
    """`explain` has an answer for every question, and OPA's own evaluator gives the same."""
    some = questions[:20]
    query = "[e | some c in input.checks; e := data.authz.explain with input as c]"
    said = subprocess.run(
        [opa_binary, "eval", "-f", "json", "-b", str(ROOT / "bundles" / "default.tar.gz"), "--stdin-input", query],
        input=json.dumps({"checks": some}).encode(),
        capture_output=True,
        check=True,
    )

    explained = [module.evaluate(question, "authz/explain") for question in some]
    assert json.loads(said.stdout)["result"][0]["expressions"][0]["value"] == explained


@pytest.mark.slow
async def test_an_opa_server_takes_the_bundle(
    opa_binary: Path, tmp_path: Path, questions: list[Input], answers: list[Any]
) -> None:
    """A server without the Wasm engine activates the very same archive, and answers alike."""
    socket = tmp_path / "opa.sock"
    server = await asyncio.create_subprocess_exec(
        opa_binary, "run", "--server", "--addr", "127.0.0.1:0", "--addr", f"unix://{socket}",
        "--log-level", "error", "--disable-telemetry", "-b", str(ROOT / "bundles" / "default.tar.gz"),
    )  # fmt: skip
    try:
        async with ClientSession("http://opa", connector=UnixConnector(str(socket))) as session:
            await _until_up(session)
            replies = [await _asked(session, questions[start : start + 256]) for start in range(0, len(questions), 256)]
    finally:
        server.terminate()
        await server.wait()

    assert [answer for reply in replies for answer in reply["result"]] == answers
    for reply in replies:
        (served,) = reply["provenance"]["bundles"].values()
        assert served == {"revision": bundle.read_shipped().revision}


async def _asked(session: ClientSession, questions: list[Input]) -> dict[str, Any]:
    body = {"input": {"checks": questions}}
    async with session.post("/v1/data/authz/decisions?provenance=true", json=body) as reply:
        answer: dict[str, Any] = await reply.json()
        return answer


async def _until_up(session: ClientSession) -> None:
    for _ in range(200):
        try:
            async with session.get("/health?bundles") as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail("the OPA server did not come up")
