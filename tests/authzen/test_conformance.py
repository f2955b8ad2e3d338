"""OpenID's conformance modules and the interop scenarios, against a running sidecar."""

from typing import Any

import pytest

from tests.authzen.conftest import Pdp, Serve
from tests.authzen.vectors import Answer, check, load, modules, policy

pytestmark = pytest.mark.e2e

MODULES = modules()


def ask(pdp: Pdp, module: Any, body: Any = None) -> Answer:
    """Send a module's request as it says."""
    raw = module.get("raw_body")
    sent = body if body is not None else raw.encode() if raw is not None else module.get("body")
    secret = {"missing": "", "invalid": "wrong"}.get(module.get("credentials", ""))
    return pdp.send(module["method"], module["path"], sent, module["headers"], secret)


def walk(pdp: Pdp, module: Any) -> list[Any]:
    """All results of a paged search, page by page."""
    results: list[Any] = []
    page = dict(module["body"]["page"])
    for _ in range(module.get("max_pages", 100)):
        document = ask(pdp, module, {**module["body"], "page": page}).document
        assert len(document["results"]) <= page["limit"]
        assert next(iter(document)) == "page"
        results += document["results"]
        if not document["page"]["next_token"]:
            return results
        page["token"] = document["page"]["next_token"]
    raise AssertionError("the pages do not end")


@pytest.fixture(scope="session")
def certified(serve: Serve) -> Pdp:
    """A sidecar with the certification fixture, asked by a caller that shows a secret."""
    return serve(policy("certification"), bearer=True)


@pytest.mark.parametrize("module", MODULES, ids=[each["id"].removeprefix("authzen-pdp-") for each in MODULES])
def test_conformance(certified: Pdp, module: Any) -> None:
    """Every module of the conformance suite passes; asked again, it is answered with the same bytes."""
    answers = [ask(certified, module) for _ in range(3)]
    if module.get("follow_next_token"):
        answers[0] = Answer(200, answers[0].headers, _encoded({"results": walk(certified, module)}))
    else:
        assert {each.body for each in answers} == {answers[0].body}
    check(module, answers[0])


def _encoded(document: Any) -> bytes:
    import json

    return json.dumps(document).encode()


def test_all_modules_are_there() -> None:
    """There are 127 conformance modules, none left out."""
    assert len(load("conformance/scenarios.json")) == len(MODULES) == 127


def test_the_decisions_and_searches_of_the_fixture(certified: Pdp) -> None:
    """The certification text's own rules and searches hold, and every result is allowed when asked again."""
    fixture = load("conformance/fixture.json")
    for rule in fixture["decisions"] + fixture["suite_only"]:
        body = {
            "subject": {"type": "user", "id": "alice", **rule["subject"]},
            "action": rule["action"],
            "resource": {"type": "record", "id": "record-1", **rule["resource"]},
        }
        assert certified.post("/access/v1/evaluation", body) == {"decision": rule["decision"]}, rule
    for search in fixture["searches"]:
        found = certified.post(f"/access/v1/{search['api']}", search["request"])["results"]
        assert all(each in found for each in search["includes"]), search["id"]
        _agrees(certified, search, found, fixture)


def _agrees(pdp: Pdp, search: Any, found: list[Any], fixture: Any) -> None:
    """What was found is allowed when asked alone, and what was not found is not."""
    kind = search["api"].removeprefix("search/")
    for candidate in fixture[f"{kind}s"]:
        bare = {name: value for name, value in candidate.items() if name != "properties"}
        asked = {**search["request"], kind: {**search["request"].get(kind, {}), **bare}}
        assert pdp.post("/access/v1/evaluation", asked) == {"decision": bare in found}, (search["id"], bare)


@pytest.mark.parametrize("name", ["decisions-authorization-api-1_0-01.json", "decisions-authorization-api-1_0-02.json"])
def test_the_todo_scenario(serve: Serve, name: str) -> None:
    """Every request of the todo scenario is answered as published."""
    pdp, vectors = serve(policy("todo")), load(f"todo/{name}")
    for case in vectors["evaluation"]:
        assert pdp.post("/access/v1/evaluation", case["request"]) == {"decision": case["expected"]}, case
    for case in vectors.get("evaluations", ()):
        assert pdp.post("/access/v1/evaluations", case["request"]) == {"evaluations": case["expected"]}, case
    assert len(vectors["evaluation"]) == 40


def test_the_gateway_scenario(serve: Serve) -> None:
    """Every request of the API gateway scenario is answered as published."""
    pdp, vectors = serve(policy("gateway")), load("gateway/decisions.json")
    for case in vectors["evaluation"]:
        assert pdp.post("/access/v1/evaluation", case["request"]) == {"decision": case["expected"]}, case
    assert len(vectors["evaluation"]) == 25


def test_the_pagination_module(serve: Serve) -> None:
    """The interop module's twenty records are found, two on a page."""
    (module,) = load("conformance/interop-pagination.json")
    pdp = serve(policy("../tests/authzen/policies/pages").resolve())
    assert walk(pdp, module) == module["expect"]["body"]["results"]
