"""OPA's Data API: OPA's own client asks, and gets what OPA would say, with tokens, ledger and metrics."""

from typing import Any

import aiohttp
import pytest
from opa_client import OpaClient  # type: ignore[import-untyped]
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]

from tests.http.conftest import Running

ALICE = {"type": "user", "id": "alice", "roles": ["user_basic"]}


def question(path: str = "/memory", method: str = "GET", subject: Any = ALICE) -> dict[str, Any]:
    return {"subject": subject, "action": {"name": method}, "resource": {"type": "route", "id": path}}


def place(running: Running) -> dict[str, Any]:
    host, _, port = running.decision.removeprefix("http://").rpartition(":")
    return {"host": host, "port": int(port)}


async def ask(running: Running, rule: str, asked: dict[str, Any], **options: Any) -> Any:
    """What opa-python-client's `query_rule` gives."""
    async with AsyncOpaClient(**place(running), retries=0, **options) as client:
        return await client.query_rule(asked, "authz", rule)


async def test_opas_client_gets_opas_answer(running: Running) -> None:
    """`query_rule` gives the decision document and a decision id, which is that of the record."""
    answer = await ask(running, "decision", question())
    (event,) = await running.events(limit=1)

    assert answer == {
        "result": {"allow": True, "reason": "scope_granted", "scopes": ["memory:read"], "missing": [],
                   "granted_by": {"memory:read": ["user_basic"]}},
        "decision_id": event["id"],
    }  # fmt: skip
    assert (event["dialect"], event["decision"], event["caller"]) == ("opa-data", "allow", "dev-loopback")


async def test_allow_is_a_boolean(running: Running) -> None:
    """`data.authz.allow` is true or false and nothing else."""
    assert (await ask(running, "allow", question()))["result"] is True
    assert (await ask(running, "allow", question("/admin/config", "PUT")))["result"] is False


async def test_the_synchronous_client(running: Running) -> None:
    """The client without asyncio asks in the same way."""
    import asyncio

    def asked() -> Any:
        with OpaClient(**place(running), retries=0) as client:
            return client.query_rule(question(), "authz", "allow")

    assert (await asyncio.to_thread(asked))["result"] is True


@pytest.mark.parametrize("in_body", [True, False])
async def test_a_token_decides(running: Running, in_body: bool) -> None:
    """A token, in the input or as the client's own, is verified, and what is asserted beside it does not count."""
    token = running.token("bob", "user_basic")
    subject: dict[str, Any] = {"type": "user", "id": "", "roles": ["admin"]}
    if in_body:
        answer = await ask(
            running, "decision", question("/admin/config", "PUT", {**subject, "properties": {"token": token}})
        )
    else:
        answer = await ask(running, "decision", question("/admin/config", "PUT", subject), token=token)

    assert (answer["result"]["allow"], answer["result"]["reason"]) == (False, "scope_missing")
    assert token not in running.on_disk()


async def test_route_and_parameters_may_be_stated(running: Running) -> None:
    """A trusted caller may name the route itself, as the Rego contract has it."""
    asked = question()
    asked["resource"] = {"type": "route", "id": "", "route": "/memory/{id}", "params": {"id": "42"}}
    assert (await ask(running, "allow", asked))["result"] is True


async def test_errors_are_opas(running: Running) -> None:
    """What cannot be read is a 400 in OPA's words that names the field; OPA's client raises it."""
    answer = await running.send("POST", f"{running.decision}/v1/data/authz/allow", {"input": {"subject": {"type": 1}}})
    assert answer.status == 400
    assert (answer.body["code"], answer.body["reason"]) == ("invalid_parameter", "bad_request")
    assert "input.subject.type" in answer.body["message"]
    with pytest.raises(aiohttp.ClientResponseError):
        await ask(running, "allow", {})
    assert (await running.send("GET", f"{running.decision}/v1/data/authz/allow")).status == 405


async def test_it_is_counted(running: Running) -> None:
    """A decision over the Data API is counted like any other."""
    labels = {"route": "/memory", "method": "GET", "scope": "memory:read", "decision": "allow"}
    before = running.counted("authz_scope_requests_total", **labels)
    await ask(running, "allow", question())
    assert running.counted("authz_scope_requests_total", **labels) == before + 1
