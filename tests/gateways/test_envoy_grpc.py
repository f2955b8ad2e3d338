"""Envoy's gRPC `ext_authz`: what is read of a check, and that no reply allows but one that says so."""

import pytest

from authz.core import REASONS, BearerToken, Caller, Kind
from authz.gateways import envoy_grpc, write
from authz.gateways.protobuf import Message, bytes_field, number_field
from tests.gateways.questions import ALICE, CALLER, EVIL, TRACE, decision, head, members_of, question

HEADERS = {
    ":path": "/health",
    ":method": "HEAD",
    ":authority": "evil.test",
    "authorization": "Bearer abc",
    "user-agent": "curl/8",
    "x-request-id": "r-1",
    "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    **{name.lower(): value for name, value in EVIL.items() if name != "User-Agent"},
}


HEADED = list(HEADERS.items())


def check(
    headers: list[tuple[str, str]],
    method: str = "GET",
    path: str = "/memory/42?a=b",
    host: str = "API.test:443",
) -> bytes:
    """A `CheckRequest` as Envoy sends it, with fields around that are not needed."""
    entries = (bytes_field(1, name.encode()) + bytes_field(2, value.encode()) for name, value in headers)
    texts = {1: "9483", 2: method, 4: path, 5: host, 6: "https", 10: "HTTP/2"}
    http = b"".join(bytes_field(number, text.encode()) for number, text in texts.items() if text)
    http += b"".join(bytes_field(3, entry) for entry in entries) + number_field(9, 0)
    address = bytes_field(2, b"192.0.2.1") + number_field(3, 40_000)
    source = bytes_field(1, bytes_field(1, address))
    request = bytes_field(1, number_field(1, 1_700_000_000)) + bytes_field(2, http)
    return bytes_field(1, bytes_field(1, source) + bytes_field(2, source) + bytes_field(4, request))


def test_a_check_is_read_whole() -> None:
    """Method, raw path, host, token, the peer's address, agent, request ID and trace; no header of another family."""
    assert members_of(envoy_grpc.read(check(HEADED), CALLER)) == {
        **question("envoy-grpc", "GET", "/memory/42?a=b", "API.test:443"),
        "token": "abc",
        "ip": "192.0.2.1",
        "user_agent": "curl/8",
        "request_id": "r-1",
        "trace_id": TRACE,
        "trace_sampled": True,
    }


@pytest.mark.parametrize("missing", ["method", "path", "host"])
def test_what_is_missing_leaves_the_host_empty(missing: str) -> None:
    """Without method, path or host the host is empty, which the core refuses; so it is in an empty check."""
    assert envoy_grpc.read(check(HEADED, **{missing: ""}), CALLER).host == ""
    assert envoy_grpc.read(b"", CALLER).host == ""


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        ([("authorization", "Bearer a,Bearer a")], "a,Bearer a"),
        ([("authorization", "Bearer a"), ("authorization", "Bearer a")], "a,Bearer a"),
        ([("proxy-authorization", "Bearer a"), ("x_authorization", "Bearer a")], None),
    ],
)
def test_two_tokens_are_none(headers: list[tuple[str, str]], token: str | None) -> None:
    """A folded or repeated Authorization is one malformed text."""
    found = envoy_grpc.read(check(headers), CALLER).token
    assert (found.reveal() if isinstance(found, BearerToken) else None) == token


def response(encoded: bytes | None) -> tuple[int | None, str, dict[str, str]]:
    """A `CheckResponse`: the code of its status or None, what it holds, and the headers in that."""
    assert encoded is not None
    answer = Message(encoded)
    statuses = answer.messages(1)
    holds = "denied" if answer.messages(2) else "ok" if answer.messages(3) else "nothing"
    options = answer.message(2 if holds == "denied" else 3).messages(2)
    pairs = [option.message(1) for option in options]
    code = encoded[encoded.index(b"\x08") + 1] if statuses else None
    return code, holds, {pair.text(1): pair.text(2) for pair in pairs}


def test_an_allow_sets_every_identity_header() -> None:
    """An allow has the status OK, written out, and all identity headers, each over the client's own, empty or not."""
    allow = decision("public_route", allow=True)
    encoded = envoy_grpc.wrap(write(head(), allow))
    assert response(encoded) == (
        0,
        "ok",
        {"x-decision-id": "id-1", "x-authz-subject": "", "x-authz-roles": "", "x-authz-scopes": ""},
    )
    assert encoded is not None
    assert encoded.startswith(b"\x0a\x02\x08\x00")
    assert encoded.count(b"\x18\x02\x20\x01") == 5  # overwrite, and keep if empty: four upstream, one for the client


def test_a_denial_has_its_status_headers_and_body() -> None:
    """A denial is no OK and holds the HTTP status, the headers and the problem document for the client."""
    reply = write(head(), decision("token_expired"))
    encoded = envoy_grpc.wrap(reply)
    assert response(encoded) == (16, "denied", {name.lower(): value for name, value in reply.headers.items()})
    assert encoded is not None
    denied = Message(encoded).message(2)
    assert denied.text(3) == reply.body.decode()
    assert b"\x0a\x03\x08\x91\x03" in encoded  # HttpStatus 401


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("allow", [True, False])
def test_only_a_clear_allow_is_ok(reason: str, allow: bool) -> None:
    """OK needs the flag and a reason that allows; undecided is no response at all; none is without a status."""
    encoded = envoy_grpc.wrap(write(head(), decision(reason, allow=allow, subject=ALICE)))
    kind = REASONS[reason].kind if reason in REASONS else Kind.FORBIDDEN
    if kind is Kind.UNDECIDED or (kind is Kind.ALLOW and not allow):
        assert encoded is None
        return
    code, holds, _ = response(encoded)
    assert code == {200: 0, 401: 16, 403: 7, 429: 8}[kind.value]
    assert holds == ("ok" if allow and kind is Kind.ALLOW else "denied")


def test_a_token_may_be_in_a_cookie_where_that_is_configured() -> None:
    """As over HTTP: in the client's headers, as Envoy tells them."""
    told = check([("cookie", "a=b; session=abc")])
    asked = [envoy_grpc.read(told, caller) for caller in (Caller("edge", token_cookie="session"), Caller("edge"))]

    assert [each.token and each.token.reveal() for each in asked] == ["abc", None]
