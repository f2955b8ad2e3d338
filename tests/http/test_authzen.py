"""AuthZEN beside the published vectors: errors, limits, pages, metadata, request ids."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authz import policy
from authz.core import ConfigurationError
from tests.http.conftest import Answer, Running, Start

ROOT = Path(__file__).parents[2]
SUBJECT = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}
MEMORY = {"action": {"name": "GET"}, "resource": {"type": "route", "id": "/memory"}}
ADMIN = {"action": {"name": "PUT"}, "resource": {"type": "route", "id": "/admin/config"}}


async def evaluations(running: Running, body: Any, query: str = "", **options: Any) -> Answer:
    return await running.send("POST", f"{running.decision}/access/v1/evaluations{query}", body, **options)


async def search(running: Running, kind: str, **body: Any) -> Answer:
    return await running.send("POST", f"{running.decision}/access/v1/search/{kind}", body)


@pytest.fixture
def certification(opa_binary: Path, tmp_path: Path) -> str:
    """The bundle of the certification fixture."""
    out = tmp_path / "certification.tar.gz"
    policy.build(ROOT / "examples" / "certification", out, opa_binary)
    return str(out)


async def test_a_batch_is_bare_and_recorded_item_by_item(running: Running) -> None:
    """A batch's answer holds decisions and nothing else; its records are ID.0, ID.1 of the id in the header."""
    answer = await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY, ADMIN]})
    events = await running.events(limit=2)

    assert answer.body == {"evaluations": [{"decision": True}, {"decision": False}]}
    batch = answer.headers["x-decision-id"]
    assert [(each["id"], each["batch"]) for each in events] == [(f"{batch}.1", batch), (f"{batch}.0", batch)]


async def test_the_records_of_a_batch_and_of_a_search_are_counted_as_decisions(running: Running) -> None:
    """As many allows and denials are counted as durable as were answered: nothing is taken for missing."""

    def counts() -> list[float]:
        made = [running.counted("authz_audit_decisions_total", decision=each) for each in ("allow", "deny", "error")]
        return [*made, running.pdp.meter.most_missing]

    before = counts()
    await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY, ADMIN, ADMIN]})
    await search(running, "action", subject=SUBJECT, resource=MEMORY["resource"])
    events = [each for each in await running.events(limit=200) if "batch" in each]

    decided = Counter(each["decision"] for each in events)
    assert decided["allow"] > 1
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [decided["allow"], decided["deny"], 0, 0]


async def test_an_explanation_is_asked_for(running: Running) -> None:
    """With explain=true each item says why."""
    answer = await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY, ADMIN]}, "?explain=true")
    assert [each["context"]["reason"] for each in answer.body["evaluations"]] == ["scope_granted", "scope_missing"]


async def test_an_item_that_cannot_be_read_says_so_and_is_no_decision(running: Running) -> None:
    """An item's error is in the item, is counted, and is not recorded."""
    before = running.counted("authz_refusals_total", code="bad_request")
    answer = await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY, {"action": {"name": "GET"}}]})

    assert answer.body["evaluations"][1] == {
        "decision": False,
        "context": {
            "error": {"status": 400, "code": "bad_request", "message": "resource: required, and there is no default"}
        },
    }
    assert running.counted("authz_refusals_total", code="bad_request") == before + 1
    (newest,) = await running.events(limit=1)
    assert newest["id"].endswith(".0")


async def test_a_token_of_an_items_own(running: Running) -> None:
    """A token in an item's subject decides for that item, and is nowhere afterwards."""
    token = running.token("bob", "user_basic")
    own = {"type": "user", "id": "", "properties": {"token": token}}
    answer = await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY, {**MEMORY, "subject": own}]})
    events = await running.events(limit=2)

    assert answer.body == {"evaluations": [{"decision": True}] * 2}
    assert {each["subject_source"] for each in events} == {"token", "asserted"}
    assert token not in running.on_disk()


async def test_too_many_items_are_too_large(start: Start) -> None:
    """More evaluations than the limit are a 413, and none of them is decided."""
    running = await start(**{"limits.batch_items": 2})
    answer = await evaluations(running, {"subject": SUBJECT, "evaluations": [MEMORY] * 3})
    assert (answer.status, answer.body["reason"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"])
async def test_request_ids_come_back_on_every_answer(running: Running, path: str) -> None:
    """X-Request-ID is answered as it came, on errors and with bytes that are no ASCII as well."""
    url = f"{running.decision}/access/v1/{path}"
    for method, body in (("POST", b"{"), ("GET", None), ("POST", {})):
        answer = await running.send(method, url, body, {"X-Request-ID": "r-\u00fc 1"})
        assert answer.status in {400, 404, 405}
        assert answer.headers["x-request-id"] == "r-\u00fc 1"


async def test_every_page_goes_on_where_the_last_one_ended(start: Start, certification: str) -> None:
    """Pages of one hold every result once; the token comes alone, or with the same limit."""
    running = await start(**{"policy.source": certification})
    asked = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}
    first = await search(running, "subject", **asked, page={"limit": 1})
    token = first.body["page"]["next_token"]
    second = await search(running, "subject", **asked, page={"token": token})

    assert first.body == {"page": {"next_token": token, "count": 1}, "results": [{"type": "user", "id": "alice"}]}
    assert second.body == {"page": {"next_token": "", "count": 1}, "results": [{"type": "user", "id": "bob"}]}
    assert (await search(running, "subject", **asked, page={"token": token, "limit": 1})).body == second.body
    assert (await search(running, "subject", **asked)).body == {
        "results": [{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}]
    }


async def test_a_token_is_good_for_its_own_search_only(start: Start, certification: str) -> None:
    """A token that was changed, or comes with another question, limit or caller's words, is a 400 that says so."""
    running = await start(**{"policy.source": certification})
    asked: dict[str, Any] = {
        "subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"},
    }  # fmt: skip
    token = (await search(running, "subject", **asked, page={"limit": 1})).body["page"]["next_token"]
    changed = "A" if token[5] != "A" else "B"
    others: list[dict[str, Any]] = [
        {**asked, "page": {"token": f"{token[:5]}{changed}{token[6:]}"}},
        {**asked, "page": {"token": "x"}},
        {**asked, "page": {"token": token, "limit": 2}},
        {**asked, "action": {"name": "write"}, "page": {"token": token}},
        {**asked, "context": {"a": 1}, "page": {"token": token}},
        {**asked, "page": {"token": token, "properties": {"a": 1}}},
    ]
    for body in others:
        answer = await search(running, "subject", **body)
        assert (answer.status, answer.body["detail"][:5]) == (400, "page.")


async def test_each_candidate_is_a_decision_of_its_own(start: Start, certification: str) -> None:
    """A search records what it decided about each candidate, as one batch on the channel `search`."""
    running = await start(**{"policy.source": certification})
    answer = await search(
        running, "action", subject={"type": "user", "id": "bob"}, resource={"type": "record", "id": "record-1"}
    )
    events = await running.events(limit=3)

    assert answer.body == {"results": [{"name": "read"}]}
    assert [(each["action"], each["decision"], each["channel"]) for each in reversed(events)] == [
        ("read", "allow", "search"), ("write", "deny", "search"), ("delete", "deny", "search"),
    ]  # fmt: skip
    assert {each["batch"] for each in events} == {answer.headers["x-decision-id"]}


async def test_what_has_no_candidates_is_not_offered(running: Running) -> None:
    """Without candidates of a kind its search is a 404, and the metadata does not name it: the default has no users."""
    asked = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "1"}}
    assert (await search(running, "subject", **asked)).status == 404
    metadata = await running.send("GET", f"{running.decision}/.well-known/authzen-configuration")
    offered = sorted(name for name in metadata.body if name.startswith("search"))
    assert offered == ["search_action_endpoint", "search_resource_endpoint"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_the_default_policy_finds_the_routes_of_a_role(running: Running, method: str) -> None:
    """Those without parameters, each as it is decided; a path that stands for others is not among them."""
    found = await search(running, "resource", subject=SUBJECT, action={"name": method}, resource={"type": "route"})
    ids = [each["id"] for each in found.body["results"]]

    paths = {route.path for route in running.pdp.policies.active.catalogue.routes if "{" not in route.path}
    asked = [{"action": {"name": method}, "resource": {"type": "route", "id": path}} for path in sorted(paths)]
    decided = (await evaluations(running, {"subject": SUBJECT, "evaluations": asked})).body["evaluations"]
    assert ids == [path for path, each in zip(sorted(paths), decided, strict=True) if each["decision"]]
    assert ids


async def test_the_default_policy_finds_methods_and_scopes(running: Running) -> None:
    """What may be done on a path, one with parameters included, and which scopes a subject may use."""
    on = await search(running, "action", subject=SUBJECT, resource={"type": "route", "id": "/memory/42"})
    nowhere = await search(running, "action", subject=SUBJECT, resource={"type": "route", "id": "/nowhere"})
    scopes = await search(running, "resource", subject=SUBJECT, action={"name": "use"}, resource={"type": "scope"})

    assert on.body == {"results": [{"name": "GET"}]}
    assert nowhere.body == {"results": []}
    held = {each["id"] for each in scopes.body["results"]}
    assert {"memory:read", "ai:chat"} <= held
    assert not any(scope.startswith("admin:") for scope in held)


async def test_subjects_are_searched_by_trusted_callers_only(start: Start, certification: str) -> None:
    """Whoever may not assert subjects may not search them."""
    caller = {"name": "edge", "via": "loopback"}
    running = await start(callers=[caller], **{"policy.source": certification})
    asked = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}}
    answer = await search(running, "subject", **asked)
    assert (answer.status, answer.body["reason"]) == (403, "caller_forbidden")


async def test_metadata_is_of_the_configuration(start: Start, certification: str) -> None:
    """The document is made of the identifier, at its place for a tenant, whatever Host and forwarding headers say."""
    running = await start(**{"policy.source": certification, "authzen.identifier": "https://pdp.example/tenant1"})
    url = f"{running.decision}/.well-known/authzen-configuration/tenant1"
    answer = await running.send("GET", url, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    base = "https://pdp.example/tenant1"

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.body == {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        "search_subject_endpoint": f"{base}/access/v1/search/subject",
        "search_resource_endpoint": f"{base}/access/v1/search/resource",
        "search_action_endpoint": f"{base}/access/v1/search/action",
    }
    body = {"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
            "resource": {"type": "record", "id": "record-1"}}  # fmt: skip
    advertised = await running.send("POST", f"{running.decision}/tenant1/access/v1/evaluation", body)
    assert advertised.body == {"decision": True}


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
async def test_metadata_can_be_signed(start: Start, tmp_path: Path, algorithm: str) -> None:
    """Signed metadata is a JWT of the identifier that says what the document says, and not itself."""
    key = ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "metadata.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = {"authzen.identifier": "https://pdp.example", "authzen.metadata_key": str(file)}
    running = await start(**settings)
    document = (await running.send("GET", f"{running.decision}/.well-known/authzen-configuration")).body
    signed = document.pop("signed_metadata")

    claims = jwt.decode(signed, key.public_key(), algorithms=[algorithm], issuer="https://pdp.example")
    assert claims == {"iss": "https://pdp.example", **document}


@pytest.mark.parametrize(
    "identifier",
    ["ftp://pdp.example", "https://pdp.example?x", "https://pdp.example#x", "pdp", "https://u@pdp.example"],
)
async def test_an_identifier_is_a_plain_https_url(start: Start, identifier: str) -> None:
    """Anything else is refused at the start, by the name of the setting."""
    callers = [{"name": "edge", "via": "loopback"}]
    with pytest.raises(ConfigurationError, match=r"authzen\.identifier"):
        await start(callers=callers, **{"authzen.identifier": identifier})


async def test_batches_at_once_do_not_mix(running: Running) -> None:
    """Each of many batches at the same time gets its own answers."""
    bodies = [[MEMORY, ADMIN], [ADMIN, MEMORY], [ADMIN], [MEMORY, MEMORY, ADMIN]] * 5
    answers = await asyncio.gather(
        *(evaluations(running, {"subject": SUBJECT, "evaluations": each}) for each in bodies)
    )
    assert [[item["decision"] for item in each.body["evaluations"]] for each in answers] == [
        [item is MEMORY for item in body] for body in bodies
    ]
