"""Whatever goes wrong between a gateway and its decision: nothing reaches the upstream."""

import http.server
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authz import policy
from authz.audit import verify_audit_integrity
from tests.e2e.client import Client
from tests.e2e.conftest import stack_of
from tests.e2e.gateways import Gateway, Ports
from tests.e2e.upstream import running_upstream

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPINNING = """package authz

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	input.resource.id == "/memory?spin"
	count([1 | some a in numbers.range(1, 1000); some b in numbers.range(1, 1000); a * b == input.context.now]) >= 0
} else := {"allow": true, "reason": "public_route", "scopes": []}

decisions := [answer | some check in input.checks; answer := decision with input as check]

explain := {}

catalogue := {"scopes": [], "roles": [], "routes": [{"method": "GET", "path": "/memory"}]}
"""
"""Allows everything, and cannot say so in time of one query."""


def test_a_sidecar_that_hangs_or_is_dead_closes_the_door(gateway: Gateway, tmp_path: Path) -> None:
    """Hung or killed, nothing passes, not even what was public; afterwards the ledger is whole."""
    with stack_of(gateway, tmp_path) as stack, Client(stack.url) as client:
        who = stack.bearer()
        before = client.send("GET", "/memory", who)
        stack.sidecar.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        hung = client.send("GET", "/health")
        waited = time.monotonic() - started
        stack.sidecar.process.send_signal(signal.SIGCONT)
        stack.sidecar.stop(signal.SIGKILL)
        dead = [client.send("GET", path, who).status for path in ("/memory", "/health")]

        assert (before.status, dead, hung.status) == (200, [gateway.silent[0]] * 2, gateway.silent[1])
        assert waited < (40 if "timeout" in gateway.lacks else 4)
        assert [seen.target for seen in stack.upstream.seen] == ["/memory"]
        assert verify_audit_integrity(stack.sidecar.state)[0] is True


def test_an_engine_that_fails_closes_the_door(gateway: Gateway, tmp_path: Path, opa_binary: Path) -> None:
    """A policy that runs past its deadline is a recorded 503, and nothing passes."""
    sources = tmp_path / "policy"
    sources.mkdir()
    (sources / "authz.rego").write_text(SPINNING)
    policy.build(sources, tmp_path / "spinning.tar.gz", opa_binary)
    with (
        stack_of(gateway, tmp_path, "--dev", "--policy", str(tmp_path / "spinning.tar.gz")) as stack,
        Client(stack.url) as client,
    ):
        answers = [client.send("GET", "/memory?spin", stack.bearer()) for _ in range(2)]
        other = client.send("GET", "/memory", stack.bearer())
        failed = {each["id"] for each in stack.decisions(20) if each["reason"] == "policy_error"}

        assert ([each.status for each in answers], other.status) == ([503, 503], 200)
        assert [seen.target for seen in stack.upstream.seen] == ["/memory"]
        assert len(failed) >= len(answers)
        told = {answer.headers.get("x-decision-id") for answer in answers}
        assert told == {None} if "id on 503" in gateway.lacks else told <= failed


def test_keys_that_are_missing_close_the_door(gateway: Gateway, tmp_path: Path) -> None:
    """While an issuer's keys cannot be had its tokens are a recorded 503; public routes and other issuers go on."""
    configuration = tmp_path / "authz.toml"
    configuration.write_text(
        '[[issuers]]\nissuer = "https://idp.test"\naudiences = ["api"]\nalgorithms = ["EdDSA"]\n'
        'keys = "http://127.0.0.1:1/jwks"\n'
    )
    now = int(time.time())
    claims = {"iss": "https://idp.test", "aud": "api", "sub": "alice", "iat": now, "exp": now + 600}
    token = jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", {"kid": "k", "typ": "at+jwt"})
    with stack_of(gateway, tmp_path, "--dev", "--config", str(configuration)) as stack, Client(stack.url) as client:
        theirs = client.send("GET", "/memory", {"Authorization": f"Bearer {token}"})
        recorded = stack.decisions(1)[0]
        others = [client.send("GET", "/memory", stack.bearer()).status, client.send("GET", "/health").status]

        assert (theirs.status, recorded["reason"]) == (503, "keys_unavailable")
        assert others == [200, 200]
        assert [seen.target for seen in stack.upstream.seen] == ["/memory", "/health"]


class Says(NamedTuple):
    """What stands in the sidecar's place answers, and what a client may then get."""

    reply: bytes
    statuses: tuple[int, ...]


def _reply(status: str, *fields: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


ALLOWED_FIELDS = ("X-Authz-Subject: root", "X-Authz-Roles: ", "X-Authz-Scopes: ", "X-Decision-Id: id-1")
SAYINGS = {
    "limited": Says(_reply("429 Too Many Requests", "Retry-After: 7", "X-Decision-Id: id-1"), (429,)),
    "its own trouble": Says(_reply("500 Internal Server Error"), (500, 503)),
    "bad gateway": Says(_reply("502 Bad Gateway"), (502, 503)),
    "a redirect": Says(_reply("302 Found", "Location: /health"), (302, 500, 503)),
    "not found": Says(_reply("404 Not Found"), (404, 500, 503)),
    "no status": Says(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", (500, 502, 503)),
    "another protocol": Says(b"SSH-2.0-OpenSSH_9.2\r\n", (500, 502, 503)),
    "half a head": Says(b"HTTP/1.1 200 OK\r\nX-Authz-Sub", (500, 502, 503)),
    "nothing": Says(b"", (500, 502, 503)),
    "an allow that never begins": Says(_reply("100 Continue").replace(b"Content-Length: 0\r\n", b""), (500, 502, 503)),
}


class Impostor(http.server.ThreadingHTTPServer):
    """Stands where the sidecar should be, and says the same of everything before it hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Saying)
        self.says = b""

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent."""


class _Saying(http.server.BaseHTTPRequestHandler):
    def handle(self) -> None:
        """Read a head, answer, hang up."""
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        server = self.server
        assert isinstance(server, Impostor)
        self.wfile.write(server.says)


@contextmanager
def running_impostor() -> Iterator[Impostor]:
    """An impostor on a free port."""
    with Impostor() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_whatever_the_sidecar_says_only_its_allow_lets_pass(gateway: Gateway, tmp_path: Path) -> None:
    """429 reaches the client with Retry-After; errors, redirects, garbage and silence are refusals, one and all."""
    outcomes = {}
    with running_impostor() as impostor, running_upstream() as upstream:
        ports = Ports(impostor.server_address[1], upstream.port)
        with gateway.start(tmp_path, ports, gateway.file) as url, Client(url) as client:
            for name, says in SAYINGS.items():
                impostor.says = says.reply
                outcomes[name] = client.send("GET", "/memory")
            impostor.says = _reply("200 OK", *ALLOWED_FIELDS, "Connection: close")
            allowed = client.send("GET", "/memory")

    if gateway.grpc:  # none of this is gRPC
        assert ({answer.status for answer in (*outcomes.values(), allowed)}, upstream.seen) == ({503}, [])
        return
    assert {
        name: answer.status for name, answer in outcomes.items() if answer.status not in SAYINGS[name].statuses
    } == {}
    limited = outcomes["limited"].headers
    assert (limited["retry-after"], limited["x-decision-id"]) == ("7", "id-1")
    assert (allowed.status, [seen.one("x-authz-subject") for seen in upstream.seen]) == (200, ["root"])
