"""The check routes on the decision listener: each dialect end to end, over a real connection."""

import pytest

from tests.gateways.questions import EVIL, OWN
from tests.http.conftest import Running, Start

DIALECT = pytest.mark.parametrize("name", OWN)
IDENTITY = ("x-authz-subject", "x-authz-roles", "x-authz-scopes")


def told(name: str, method: str, path: str) -> dict[str, str]:
    """The headers in which a gateway tells this method and path."""
    fields = {
        field: value.replace("/memory/42?full=1", path).replace("DELETE", method) for field, value in OWN[name].items()
    }
    return {**EVIL, **fields}


@DIALECT
async def test_an_allow_is_200_and_names_the_subject(running: Running, name: str) -> None:
    """An allow is 200, empty, with identity; what the client claims of itself in every other way changes nothing."""
    token = running.token("alice", "user_basic")
    answer = await running.send(
        "GET", f"{running.decision}/check/{name}", headers=told(name, "GET", "/memory/42"), token=token
    )
    event = (await running.events(limit=1))[0]

    assert (answer.status, answer.body) == (200, b"")
    assert {field: answer.headers[field] for field in IDENTITY} == {
        "x-authz-subject": "alice",
        "x-authz-roles": "user_basic",
        "x-authz-scopes": "memory:read",
    }
    recorded = {field: event[field] for field in ("id", "dialect", "route", "action", "host", "user_agent")}
    assert recorded == {
        "id": answer.headers["x-decision-id"],
        "dialect": name,
        "route": "/memory/{id}",
        "action": "GET",
        "host": "api.test",
        "user_agent": "curl/8",
    }
    assert event.get("enforced", True) is True


@DIALECT
async def test_denials_have_the_status_of_their_reason(running: Running, name: str) -> None:
    """401 without a token, 403 without the scope, 403 for an ambiguous path; all with the decision's ID."""
    token = running.token("alice", "user_basic")
    url = f"{running.decision}/check/{name}"
    answers = [
        await running.send("GET", url, headers=told(name, "GET", "/memory")),
        await running.send("GET", url, headers=told(name, "PUT", "/admin/config"), token=token),
        await running.send("GET", url, headers=told(name, "GET", "/memory/..%2fadmin/config"), token=token),
        await running.send("GET", url, headers=told(name, "BREW", "/memory"), token=token),
    ]
    events = await running.events(limit=4)

    assert [(answer.status, event["reason"]) for answer, event in zip(answers, reversed(events), strict=True)] == [
        (401, "token_missing"),
        (403, "scope_missing"),
        (403, "ambiguous_path"),
        (403, "method_not_allowed"),
    ]
    assert [answer.headers["x-decision-id"] for answer in answers] == [event["id"] for event in reversed(events)]
    assert answers[0].headers["www-authenticate"] == 'Bearer realm="authz"'


@DIALECT
async def test_the_method_that_is_counted_is_the_clients(running: Running, name: str) -> None:
    """Metrics are labelled with the method that was asked for, not with the one of the check."""
    labels = {"route": "/memory/search", "method": "POST", "code": "200"}
    before = running.counted("authz_requests_total", **labels)
    token = running.token("alice", "user_premium")
    answer = await running.send(
        "GET", f"{running.decision}/check/{name}", headers=told(name, "POST", "/memory/search"), token=token
    )

    assert answer.status == 200
    assert running.counted("authz_requests_total", **labels) == before + 1


@DIALECT
async def test_two_authorization_headers_are_a_denial(running: Running, name: str) -> None:
    """A repeated Authorization is malformed, even if it says the same twice."""
    token = running.token("alice", "user_basic")
    fields = "".join(f"{field}: {value}\r\n" for field, value in told(name, "GET", "/memory/42").items())
    sent = f"GET /check/{name} HTTP/1.1\r\n{fields}" + f"Authorization: Bearer {token}\r\n" * 2
    answer = await running.raw(f"{sent}Connection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert (await running.events(limit=1))[0]["reason"] == "token_malformed"


@DIALECT
async def test_a_body_is_never_waited_for(running: Running, name: str) -> None:
    """A check that announces a body and does not send it is answered at once."""
    token = running.token("alice", "user_basic")
    fields = "".join(f"{field}: {value}\r\n" for field, value in told(name, "GET", "/memory/42").items())
    sent = f"GET /check/{name} HTTP/1.1\r\n{fields}Authorization: Bearer {token}\r\nContent-Length: 9\r\n"
    answer = await running.raw(f"{sent}Connection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200 ")


@DIALECT
async def test_an_observing_caller_is_never_blocked_and_its_decisions_say_so(start: Start, name: str) -> None:
    """For a caller with `observe` all is 200; the record has the real decision and `enforced: false`."""
    observed = await start(callers=[{"name": "observer", "via": "loopback", "observe": True}])
    url = f"{observed.decision}/check/{name}"
    token = observed.token("alice", "user_basic")
    allowed = await observed.send("GET", url, headers=told(name, "GET", "/memory"), token=token)
    denied = await observed.send("GET", url, headers=told(name, "PUT", "/admin/config"), token=token)
    events = await observed.events(limit=2)

    assert [(answer.status, answer.body) for answer in (allowed, denied)] == [(200, b""), (200, b"")]
    assert [{field: answer.headers[field] for field in IDENTITY} for answer in (allowed, denied)] == [
        {"x-authz-subject": "alice", "x-authz-roles": "user_basic", "x-authz-scopes": "memory:read"},
        dict.fromkeys(IDENTITY, ""),
    ]
    assert [(event["decision"], event["reason"], event["enforced"]) for event in events] == [
        ("deny", "scope_missing", False),
        ("allow", "scope_granted", False),
    ]
