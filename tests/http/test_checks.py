"""The check routes on the decision listener: each dialect end to end, over a real connection."""

from typing import Any

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


async def decided(running: Running, count: int) -> list[dict[str, Any]]:
    """The newest decisions in the ledger, newest first, and nothing else that is written there."""
    return [event for event in await running.events(limit=count + 50) if "dialect" in event][:count]


@DIALECT
async def test_an_allow_is_200_and_names_the_subject(running: Running, name: str) -> None:
    """An allow is 200, empty, with identity; what the client claims of itself in every other way changes nothing."""
    token = running.token("alice", "user_basic")
    answer = await running.send(
        "GET", f"{running.decision}/check/{name}", headers=told(name, "GET", "/memory/42"), token=token
    )
    event = (await decided(running, 1))[0]

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
    events = await decided(running, 4)

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
    assert (await decided(running, 1))[0]["reason"] == "token_malformed"


@pytest.mark.slow
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
    events = await decided(observed, 2)

    assert [(answer.status, answer.body) for answer in (allowed, denied)] == [(200, b""), (200, b"")]
    assert [{field: answer.headers[field] for field in IDENTITY} for answer in (allowed, denied)] == [
        {"x-authz-subject": "alice", "x-authz-roles": "user_basic", "x-authz-scopes": "memory:read"},
        dict.fromkeys(IDENTITY, ""),
    ]
    assert [(event["decision"], event["reason"], event["enforced"]) for event in events] == [
        ("deny", "scope_missing", False),
        ("allow", "scope_granted", False),
    ]


@DIALECT
async def test_a_refused_call_has_a_body_where_the_gateway_takes_one(start: Start, name: str) -> None:
    """nginx would drop the connection for it, so there is none in its dialects, whatever the answer is."""
    running = await start(callers=[{"name": "other", "via": "loopback", "routes": ["/check/envoy"]}])
    answer = await running.send("GET", f"{running.decision}/check/{name}", headers=told(name, "GET", "/memory"))

    said = b"" if "nginx" in name else "caller_forbidden"
    assert (answer.status, answer.body and answer.body["reason"]) == (403, said)


@DIALECT
async def test_a_token_may_be_in_a_cookie_where_that_is_configured(start: Start, name: str) -> None:
    """It is then verified as any other, and only for gateways: an AuthZEN caller's own cookies mean nothing."""
    configured = {"token_cookie": "session", "token_subprotocol": "bearer."}
    running = await start(callers=[{"name": "gateway", "via": "loopback", **configured}])
    token, url = running.token("alice", "user_basic"), f"{running.decision}/check/{name}"
    asked = [
        {"Cookie": f"theme=dark; session={token}"},
        {"Sec-WebSocket-Protocol": f"chat, bearer.{token}"},
        {"Cookie": f"session={token}; session={token}"},
        {"Cookie": "session=forged"},
    ]
    answers = [await running.send("GET", url, headers=told(name, "GET", "/memory") | each) for each in asked]
    evaluation = {"subject": {"type": "user", "id": ""}, "action": {"name": "GET"}}
    resource = {"type": "route", "id": "/memory"}
    beside = await running.evaluate({**evaluation, "resource": resource}, headers=asked[0])

    assert [answer.status for answer in answers] == [200, 200, 401, 401]
    assert [event["reason"] for event in await decided(running, 3)] == ["token_missing", *["token_malformed"] * 2]
    assert beside.body == {"decision": False}
    assert token not in running.on_disk()


PLUGIN_ROUTES = {"kong": "/v1/data/authz/kong", "apisix-opa": "/v1/data/authz/apisix"}
PLUGIN = pytest.mark.parametrize(("name", "route"), PLUGIN_ROUTES.items())


def posted(name: str, method: str, path: str, **headers: str) -> dict[str, Any]:
    """What a plugin posts."""
    request = {"method": method, "path": path, "host": "api.test", "headers": headers}
    return {"input": {"request": {"http": request}} if name == "kong" else {"request": request}}


@PLUGIN
async def test_a_plugin_is_answered_in_its_json(running: Running, name: str, route: str) -> None:
    """Allow and deny are in the JSON, each with the ID of its record; the user's token is taken from the body."""
    who = {"authorization": f"Bearer {running.token('alice', 'user_basic')}"}
    url = f"{running.decision}{route}"
    answers = [
        await running.send("POST", url, posted(name, "GET", "/memory", **who)),
        await running.send("POST", url, posted(name, "PUT", "/admin/config", **who)),
        await running.send("POST", url, posted(name, "GET", "/memory")),
        await running.send("POST", url, posted(name, "GET", "/memory/a/../b", **who)),
    ]
    events = (await decided(running, 4))[::-1]

    assert [(a.status, a.body["result"]["allow"], e["reason"]) for a, e in zip(answers, events, strict=True)] == [
        (200, True, "scope_granted"),
        (200, False, "scope_missing"),
        (200, False, "token_missing"),
        (200, False, "ambiguous_path"),
    ]
    assert [a.body["result"]["headers"]["X-Decision-Id"] for a in answers] == [event["id"] for event in events]
    assert {event["dialect"] for event in events} == {name}
    assert who["authorization"][7:] not in running.on_disk()


@PLUGIN
async def test_a_token_beside_a_plugins_body_counts_for_nothing(running: Running, name: str, route: str) -> None:
    """`Authorization` of the call itself is never the user's: the plugin tells that in the body."""
    token = running.token("alice", "user_basic")
    answer = await running.send("POST", f"{running.decision}{route}", posted(name, "GET", "/memory"), token=token)

    assert answer.body["result"]["allow"] is False


@PLUGIN
async def test_a_plugins_call_that_is_none_is_no_allow(running: Running, name: str, route: str) -> None:
    """Another method, type or body is a refusal without `result`, which both plugins take for trouble."""
    url = f"{running.decision}{route}"
    answers = [
        await running.send("GET", url),
        await running.send("POST", url, b"{"),
        await running.send("POST", url, b"{}", headers={"Content-Type": "text/plain"}),
        await running.send("POST", url, posted(name, "GET", "/memory", **{f"x-{n}": "1" for n in range(100)})),
    ]

    assert [answer.status for answer in answers] == [405, 400, 400, 400]
    assert [answer.body.get("result") for answer in answers] == [None] * 4


@PLUGIN
async def test_a_plugin_that_observes_lets_all_pass(start: Start, name: str, route: str) -> None:
    """For a caller with `observe` the JSON allows, and the record says that it was not enforced."""
    observed = await start(callers=[{"name": "observer", "via": "loopback", "observe": True}])
    answer = await observed.send("POST", f"{observed.decision}{route}", posted(name, "PUT", "/admin/config"))
    event = (await decided(observed, 1))[0]

    assert answer.body["result"]["allow"] is True
    assert (event["decision"], event["reason"], event["enforced"]) == ("deny", "token_missing", False)
