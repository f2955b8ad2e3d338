"""Every gateway that runs here, with its shipped configuration, a real sidecar and a real upstream."""

import json
from pathlib import Path

import pytest

from tests.e2e.client import Client, HungUpError
from tests.e2e.conftest import Stack, asked_at, stack_of
from tests.e2e.gateways import Gateway
from tests.e2e.oracle import Cell, cells, data
from tests.e2e.relay import running_relay
from tests.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TRACE = "0af7651916cd43dd8448eb211c80319c"
IDENTITY = ("x-authz-subject", "x-authz-roles", "x-authz-scopes")
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def identities(stack: Stack) -> list[dict[str, str]]:
    """What each request that reached the upstream says of its subject; a header that is absent is as good as empty."""
    return [{name: seen.one(name) or "" for name in IDENTITY} for seen in stack.upstream.seen]


def test_every_role_on_every_route(stack: Stack) -> None:
    """What the data grants reaches the upstream with the identity headers; what it does not never gets there."""
    tokens = {role: stack.bearer("alice", role) for role in data("roles")}
    table = cells()

    actual = []
    with Client(stack.url) as client:
        for cell in table:
            stack.upstream.seen.clear()
            answer = client.send(cell.method, cell.path, tokens[cell.role])
            reached = [(seen.method, seen.target) for seen in stack.upstream.seen]
            actual.append((answer.status, reached, identities(stack)))

    assert dict(zip(table, actual, strict=True)) == {cell: _expected(cell) for cell in table}
    assert len(table) > 300
    assert {status for status, _, _ in actual} == {200, 403}


def _expected(cell: Cell) -> tuple[int, list[tuple[str, str]], list[dict[str, str]]]:
    if cell.granting is None:
        return 403, [], []
    public = not cell.granting
    identity = ("alice", cell.role, "" if public else ",".join(sorted(cell.granting)))
    return 200, [(cell.method, cell.path)], [dict(zip(IDENTITY, identity, strict=True))]


def test_denials_tell_the_client_why_and_where_it_is_written(stack: Stack) -> None:
    """401 and 403 reach the client with the challenge and the ID of the record, and, where relayed, with the reason."""
    with Client(stack.url) as client:
        nobody = client.send("GET", "/memory")
        somebody = client.send("PUT", "/admin/config", stack.bearer())

    recorded = stack.decisions(2)
    assert [(each.status, each.headers["x-decision-id"]) for each in (somebody, nobody)] == [
        (403, recorded[0]["id"]),
        (401, recorded[1]["id"]),
    ]
    assert [each["reason"] for each in recorded] == ["scope_missing", "token_missing"]
    assert nobody.headers["www-authenticate"] == 'Bearer realm="authz"'
    if stack.gateway.relays:
        assert {each.headers["content-type"] for each in (nobody, somebody)} == {"application/problem+json"}
        assert [json.loads(each.body)["reason"] for each in (somebody, nobody)] == ["scope_missing", "token_missing"]
    assert stack.upstream.seen == []


def test_the_record_and_the_upstream_tell_the_same_request(stack: Stack) -> None:
    """Address, agent and request ID are the gateway's word, never the client's; upstream and client get the ID too."""
    claimed = {"User-Agent": "curl/8 (a, b)", "X-Authz-Client-IP": "6.6.6.6", "X-Authz-User-Agent": "forged"}
    claimed |= {"X-Authz-Session-ID": "forged", "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6"}
    claimed |= {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "chosen"}
    with Client(stack.url) as client:
        answer = client.send("GET", "/memory/42?a=b", {**claimed, **stack.bearer()})

    event = stack.decisions(1)[0]
    seen = stack.upstream.seen[0]
    assert {name: event.get(name) for name in ("ip", "user_agent", "trace_id", "route", "operation", "dialect")} == {
        "ip": "127.0.0.1",
        "user_agent": "curl/8 (a, b)",
        "trace_id": TRACE,
        "route": "/memory/{id}",
        "operation": "memory.accessed",
        "dialect": stack.gateway.name,
    }
    assert event.get("session_id") is None
    assert event["host"] == "api.test"
    assert (event["request_id"] == "chosen") is ("own request id" in stack.gateway.lacks)
    assert (seen.one("x-request-id"), seen.one("traceparent")) == (event["request_id"], claimed["traceparent"])
    told = None if "id on 200" in stack.gateway.lacks else event["id"]
    assert (answer.headers.get("x-decision-id"), seen.one("x-decision-id")) == (told, event["id"])


def test_the_gateways_log_names_the_decision(stack: Stack) -> None:
    """Decision ID, request ID and trace are in the gateway's own log, for an allow and for a denial."""
    trace = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with Client(stack.url) as client:
        for path in ("/health", "/memory"):
            client.send("GET", path, {**trace, "X-Request-ID": f"chosen-{path[1:]}"})
    named = [event[name] for event in stack.decisions(2) for name in ("id", "request_id")]

    def log() -> str:
        return "".join(path.read_text(errors="replace") for path in stack.directory.glob("*log"))

    wait_for("the log", lambda: all(each in log() for each in named), 15)
    assert TRACE in log()


def test_a_handshake_is_judged_and_then_left_alone(stack: Stack) -> None:
    """A WebSocket is opened where the policy allows it, bytes pass both ways, and the record calls it `ws.connect`."""
    with Client(stack.url) as client:
        opened = client.send("GET", "/ws", {**HANDSHAKE, **stack.bearer()})
        echoed = client.tunnel(b"\x81\x02hi")
        event = stack.decisions(1)[0]
    reached = [(seen.method, seen.target, seen.one("upgrade")) for seen in stack.upstream.seen]

    assert (opened.status, echoed) == (101, b"\x81\x02hi")
    assert reached == [("GET", "/ws", "websocket")]
    assert (event["decision"], event["operation"]) == ("allow", "ws.connect")


@pytest.mark.parametrize("path", ["/ws", "/admin/config"])
def test_a_handshake_that_is_denied_opens_nothing(stack: Stack, path: str) -> None:
    """Without a token, or where the policy denies, there is no upgrade and nothing reaches the upstream."""
    who = {} if path == "/ws" else stack.bearer()
    with Client(stack.url) as client:
        answer = client.send("GET", path, {**HANDSHAKE, **who})

    assert (answer.status, stack.upstream.seen) == (403 if who else 401, [])


@pytest.mark.parametrize("size", [9_000, 30_000, 70_000])
def test_a_huge_token_stops_at_the_door(stack: Stack, size: int) -> None:
    """A token over 8 KiB is refused by the sidecar or the gateway, and is nobody's on the way."""
    with Client(stack.url) as client:
        try:
            status = client.send("GET", "/memory", {"Authorization": f"Bearer {'A' * size}"}).status
        except HungUpError:
            status = 0
        after = client.send("GET", "/memory", stack.bearer())

    assert status in (0, 400, 401, 413, 431, 500, 503)
    assert (after.status, [seen.target for seen in stack.upstream.seen]) == (200, ["/memory"])


def test_one_connection_carries_many_checks(gateway: Gateway, tmp_path: Path) -> None:
    """Twenty requests, allowed and denied by turns, cost the sidecar one connection, and the client one."""
    with (
        running_relay() as relay,
        stack_of(gateway, tmp_path, authz_port=relay.port) as stack,
        Client(stack.url) as client,
    ):
        relay.target = asked_at(gateway, stack.sidecar)
        who = stack.bearer()
        statuses = [client.send("GET", path, who).status for path in ("/memory", "/admin/config") * 10]

    assert statuses == [200, 403] * 10
    assert (relay.connections, client.connections) == (1, 1)
