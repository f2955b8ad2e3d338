"""A real Envoy with the shipped configuration, a real sidecar, a real upstream."""

import http.client
import json
import signal
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from authz.audit import get_audit_events, verify_audit_integrity
from tests.e2e.conftest import Upstream
from tests.e2e.oracle import Cell, cells, data
from tests.processes import Sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One keep-alive connection to the gateway."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def send(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        """One request with the target exactly as given."""
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            self._connection.putheader(name, value)
        if method in ("POST", "PUT", "DELETE"):
            self._connection.putheader("Content-Length", "0")
        self._connection.endheaders()
        response = self._connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@pytest.fixture
def client(gateway: str) -> Client:
    """A client of the gateway."""
    return Client(gateway)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_role_on_every_route(client: Client, running: Sidecar, upstream: Upstream) -> None:
    """What the data grants reaches the upstream with the identity headers; what it does not never gets there."""
    tokens = {role: running.token("alice", role) for role in data("roles")}
    table = cells()
    expected = [(_outcome(cell), _identity(cell)) for cell in table]

    actual = []
    for cell in table:
        upstream.requests.clear()
        answer = client.send(cell.method, cell.path, _bearer(tokens[cell.role]))
        reached = upstream.requests[0]["headers"] if upstream.requests else {}
        actual.append((answer.status, {name: reached[name] for name in sorted(reached) if "x-authz" in name}))
    client.close()

    assert dict(zip(table, actual, strict=True)) == dict(zip(table, expected, strict=True))
    assert len(table) > 300
    assert {status for status, _ in actual} == {200, 403}


def _outcome(cell: Cell) -> int:
    return 403 if cell.granting is None else 200


def _identity(cell: Cell) -> dict[str, str]:
    if cell.granting is None:
        return {}
    return {
        "x-authz-roles": cell.role,
        "x-authz-scopes": ",".join(sorted(cell.granting)),
        "x-authz-subject": "alice",
    }


def test_what_a_client_claims_of_itself_never_passes(client: Client, running: Sidecar, upstream: Upstream) -> None:
    """Identity headers that a client sends are overwritten, on a public route too."""
    claimed = {"X-Authz-Subject": "root", "X-Authz-Roles": "admin", "X-Authz-Scopes": "admin:write"}

    public = client.send("GET", "/health", claimed)
    granted = client.send("GET", "/memory", {**claimed, **_bearer(running.token("alice", "user_basic"))})
    client.close()

    assert (public.status, granted.status) == (200, 200)
    seen = [
        {name: value for name, value in request["headers"].items() if name.startswith("x-authz")}
        for request in upstream.requests
    ]
    assert seen == [
        {"x-authz-subject": "", "x-authz-roles": "", "x-authz-scopes": ""},
        {"x-authz-subject": "alice", "x-authz-roles": "user_basic", "x-authz-scopes": "memory:read"},
    ]


def test_denials_tell_the_client_why_and_where_it_is_written(client: Client, running: Sidecar) -> None:
    """401 and 403 reach the client as problem+json with a reason and the id of the ledger's record."""
    nobody = client.send("GET", "/memory")
    somebody = client.send("PUT", "/admin/config", _bearer(running.token("alice", "user_basic")))
    client.close()

    recorded = get_audit_events(limit=2, path=running.state)
    assert [
        (a.status, json.loads(a.body)["reason"], json.loads(a.body)["decision_id"]) for a in (somebody, nobody)
    ] == [
        (403, "scope_missing", recorded[0]["id"]),
        (401, "token_missing", recorded[1]["id"]),
    ]
    assert nobody.headers["www-authenticate"] == 'Bearer realm="authz"'
    assert {a.headers["content-type"] for a in (nobody, somebody)} == {"application/problem+json"}
    assert {a.headers["x-decision-id"] for a in (nobody, somebody)} == {event["id"] for event in recorded}


@pytest.mark.parametrize(
    "target",
    [
        "/memory%2f..%2fadmin/config",
        "/memory/..%2f..%2fadmin",
        "/memory/%2e%2e/%2e%2e/admin%00",
        "/memory;v=1/42",
        "/memory/%252e%252e/admin",
        "/memory/a%5cb",
        "/memory/%zz",
    ],
)
def test_ambiguous_paths_stop_at_the_door(client: Client, running: Sidecar, upstream: Upstream, target: str) -> None:
    """A path that can be read in two ways never reaches the upstream, whoever asks."""
    answer = client.send("GET", target, _bearer(running.token("alice", "admin", "user_premium")))
    client.close()

    assert (answer.status in (400, 403), upstream.requests) == (True, [])


def test_a_dead_sidecar_closes_the_door(client: Client, running: Sidecar, upstream: Upstream) -> None:
    """When the sidecar is killed, or hangs, nothing passes, not even what was public."""
    token = _bearer(running.token("alice", "user_basic"))
    before = client.send("GET", "/memory", token)

    running.process.send_signal(signal.SIGSTOP)
    hung = client.send("GET", "/health")
    running.process.send_signal(signal.SIGCONT)
    running.stop(signal.SIGKILL)
    dead = [client.send(method, path, token) for method, path in (("GET", "/memory"), ("GET", "/health"))]
    client.close()

    assert (before.status, hung.status, [each.status for each in dead]) == (200, 503, [503, 503])
    assert [request["path"] for request in upstream.requests] == ["/memory"]
    assert verify_audit_integrity(running.state)[0] is True


def test_the_record_tells_who_came_through_the_gateway(client: Client, running: Sidecar) -> None:
    """The record has the client's address, agent and request id as Envoy tells them, never as the client does."""
    headers = {"User-Agent": "curl/8", "X-Authz-Client-IP": "6.6.6.6", "X-Authz-User-Agent": "forged"}
    headers |= {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    client.send("GET", "/memory/42", {**headers, **_bearer(running.token("alice", "user_basic"))})
    client.close()

    event = get_audit_events(limit=1, path=running.state)[0]
    assert {name: event[name] for name in ("ip", "user_agent", "trace_id", "route", "operation", "dialect")} == {
        "ip": "127.0.0.1",
        "user_agent": "curl/8",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "route": "/memory/{id}",
        "operation": "memory.accessed",
        "dialect": "envoy",
    }
    assert len(event["request_id"]) == 36
