"""What every dialect shares: how a head is read, how identity goes upstream, how a denial reaches the client."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from authz.core import ANONYMOUS, REASONS, Decision, Kind, Subject
from authz.gateways import Reply, RequestHead, bearer_token, printable, problem, provenance, refusal
from authz.gateways.wire import identity_headers, status_of
from tests.properties import many

TRACE = "0af7651916cd43dd8448eb211c80319c"


def headers(*fields: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(fields)


def head(method: str = "GET") -> RequestHead:
    return RequestHead(method, "/memory/42", headers())


def decision(reason: str, *, allow: bool = False, **members: Any) -> Decision:
    stated: dict[str, Any] = {"subject": ANONYMOUS, "revision": "0123456789abcdef", "id": "id-1"}
    return Decision(allow=allow, reason=reason, **stated | members)


BEARERS: dict[str, tuple[list[str], str | None]] = {
    "none": ([], None),
    "a token": (["Bearer abc.def.ghi"], "abc.def.ghi"),
    "in lower case": (["bearer abc"], "abc"),
    "in upper case": (["BEARER abc"], "abc"),
    "spaces around it": (["Bearer   abc "], "abc"),
    "empty": ([""], None),
    "the scheme alone": (["Bearer"], None),
    "the scheme and a space": (["Bearer "], ""),
    "no space": (["Bearerabc"], None),
    "a tab": (["Bearer\tabc"], None),
    "Basic": (["Basic YTpi"], None),
    "a bare token": (["abc.def.ghi"], None),
    "sent twice": (["Bearer abc", "Bearer abc"], "abc,Bearer abc"),
    "sent twice, folded by a proxy": (["Bearer abc,Bearer def"], "abc,Bearer def"),
    "sent twice, the first empty": (["", "Bearer abc"], None),
    "Basic before Bearer": (["Basic YTpi", "Bearer abc"], None),
    "Bearer before Basic": (["Bearer abc", "Basic YTpi"], "abc,Basic YTpi"),
}


@pytest.mark.parametrize(("values", "token"), BEARERS.values(), ids=BEARERS.keys())
def test_a_token_is_read_whole_or_not_at_all(values: list[str], token: str | None) -> None:
    """Never the first of several: a repeated header is one text with a comma in it, which no verifier accepts."""
    found = bearer_token(headers(*(("authorization", value) for value in values)))
    assert (found.reveal() if found else None) == token


def test_an_underscore_is_not_a_hyphen() -> None:
    """A header whose name has underscores is another header, and means nothing here."""
    sent = headers(
        ("X_Request_ID", "r-1"),
        ("X_Authz_Client_IP", "6.6.6.6"),
        ("X_Authz_User_Agent", "curl"),
        ("X_Authz_Session_ID", "s-1"),
    )
    nothing = {"request_id": None, "trace_id": None, "session_id": None, "ip": None, "user_agent": None}
    assert provenance(sent) == nothing
    assert provenance(headers()) == nothing


def test_where_a_question_comes_from() -> None:
    """Request ID, trace, session, address and agent are read from the headers that the gateway sets, in any case."""
    sent = headers(
        ("x-request-id", "r-1"),
        ("TraceParent", f"00-{TRACE}-b7ad6b7169203331-01"),
        ("x-authz-session-id", "s-1"),
        ("x-authz-client-ip", "192.0.2.1"),
        ("x-authz-user-agent", "curl/8"),
        ("User-Agent", "the gateway"),
        ("X-Forwarded-For", "6.6.6.6"),
    )
    assert provenance(sent) == {
        "request_id": "r-1",
        "trace_id": TRACE,
        "session_id": "s-1",
        "ip": "192.0.2.1",
        "user_agent": "curl/8",
    }


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Authz-Client-IP", "X-Authz-User-Agent", "X-Authz-Session-ID"])
@pytest.mark.parametrize("values", [[""], ["a", "b"], ["a", "a"], ["", "a"]])
def test_a_repeated_or_empty_header_counts_as_absent(name: str, values: list[str]) -> None:
    """Of several values none is picked."""
    assert set(provenance(headers(*((name, value) for value in values))).values()) == {None}


TRACEPARENTS = {
    "sampled": (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
    "not sampled": (f"00-{TRACE}-b7ad6b7169203331-00", TRACE),
    "empty": ("", None),
    "trace of zeros": (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
    "parent of zeros": (f"00-{TRACE}-{'0' * 16}-01", None),
    "upper case": (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
    "too short": (f"00-{TRACE[1:]}-b7ad6b7169203331-01", None),
    "too long": (f"00-{TRACE}a-b7ad6b7169203331-01", None),
    "no flags": (f"00-{TRACE}-b7ad6b7169203331", None),
    "more after it": (f"00-{TRACE}-b7ad6b7169203331-01-x", None),
    "line feed after it": (f"00-{TRACE}-b7ad6b7169203331-01\n", None),
    "another version": (f"ff-{TRACE}-b7ad6b7169203331-01", None),
    "no hex": (f"00-{'g' * 32}-b7ad6b7169203331-01", None),
}


@pytest.mark.parametrize(("sent", "trace"), TRACEPARENTS.values(), ids=TRACEPARENTS.keys())
def test_a_trace_is_read_or_there_is_none(sent: str, trace: str | None) -> None:
    """The trace ID of a `traceparent` as W3C writes it; anything else is no trace."""
    assert provenance(headers(("traceparent", sent)))["trace_id"] == trace


def test_two_traces_are_none() -> None:
    """A repeated `traceparent` is none."""
    sent = f"00-{TRACE}-b7ad6b7169203331-01"
    assert provenance(headers(("traceparent", sent), ("traceparent", sent)))["trace_id"] is None


def test_raw_bytes_do_not_break_the_record() -> None:
    """What a client sent as raw bytes is readable as UTF-8 afterwards."""
    sent = headers(("X-Authz-User-Agent", b"caf\xe9".decode("utf-8", "surrogateescape")))
    assert provenance(sent)["user_agent"] == "caf?"


ALICE = Subject(type="user", id="alice", source="token", pseudonym="h1:k:x", roles=("user_basic", "carer"))


def test_identity_goes_upstream_in_three_headers() -> None:
    """On an allow all three identity headers are there: who, in which roles, by which scopes that granted."""
    allow = decision("scope_granted", allow=True, subject=ALICE, scopes=("memory:read", "memory:write"))
    assert identity_headers(allow) == {
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "memory:read,memory:write",
    }


def test_identity_headers_are_there_when_empty() -> None:
    """For nobody the three headers are there and empty, so that a client's own never pass."""
    assert identity_headers(decision("public_route", allow=True)) == {
        "X-Authz-Subject": "",
        "X-Authz-Roles": "",
        "X-Authz-Scopes": "",
    }


def test_a_policys_headers_go_beside_ours() -> None:
    """The policy's own headers go upstream; they cannot take the place of ours."""
    allow = decision("public_route", allow=True, subject=ALICE, headers={"X-Tenant": "acme", "X-Authz-Subject": "root"})
    assert identity_headers(allow) == {
        "X-Tenant": "acme",
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "",
    }


TEXTS = st.text(st.characters() | st.sampled_from("\r\n\x00,% "))


@many
@given(TEXTS, st.lists(TEXTS), st.lists(TEXTS))
def test_no_name_can_inject_a_header(subject: str, roles: list[str], scopes: list[str]) -> None:
    """Whatever a subject, role or scope is called, its header is visible ASCII and the list keeps its length."""
    who = Subject(type="user", id=subject, source="token", pseudonym=None, roles=tuple(roles))
    written = identity_headers(decision("scope_granted", allow=True, subject=who, scopes=tuple(scopes)))
    assert list(written) == ["X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes"]
    for value in written.values():
        assert all("\x21" <= character <= "\x7e" for character in value)
    for value, names in (("X-Authz-Roles", roles), ("X-Authz-Scopes", scopes)):
        assert written[value].count(",") == max(len(names) - 1, 0)


@many
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\x00,% ")))
@example("100%41")
def test_a_header_can_be_read_back(text: str) -> None:
    """Percent-decoding a header's value gives the text again, so that no two IDs look alike upstream."""
    assert unquote(printable(text)) == text


def test_a_plain_name_is_written_as_it_is() -> None:
    """An ordinary ID is not encoded at all."""
    for plain in ("alice", "auth0|64f1", "alice@example.com", "8f14e45f-ceea-467f-9f4b-1d2c3b4a5e6f", "a:b/c=d"):
        assert printable(plain) == plain


def test_a_denial_is_problem_json() -> None:
    """A denial tells the client its ID, its reason and a sentence, and nothing internal."""
    denied = decision("not_owner", subject=ALICE, scopes=("memory:read",), missing=("memory:read",))
    reply = problem(head(), denied, 403)
    assert (reply.status, reply.headers) == (
        403,
        {"X-Decision-Id": "id-1", "Content-Type": "application/problem+json"},
    )
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "reason": "not_owner",
        "detail": "The resource belongs to someone else.",
        "decision_id": "id-1",
    }


@pytest.mark.parametrize(("reason", "row"), REASONS.items(), ids=REASONS)
def test_challenges_are_those_of_rfc_6750(reason: str, row: Any) -> None:
    """401 has a challenge, without error where there was no token; a missing scope says so; others have none."""
    reply = problem(head(), decision(reason), row.kind.value)
    expected = None
    if reason == "token_missing":
        expected = 'Bearer realm="authz"'
    elif row.kind is Kind.UNAUTHENTICATED:
        expected = 'Bearer realm="authz", error="invalid_token"'
    elif reason == "scope_missing":
        expected = 'Bearer realm="authz", error="insufficient_scope"'
    assert reply.headers.get("WWW-Authenticate") == expected


def test_head_has_no_body() -> None:
    """A denial of HEAD has its status and headers, and neither body nor content type."""
    assert problem(head("HEAD"), decision("token_expired"), 401) == Reply(
        401, {"X-Decision-Id": "id-1", "WWW-Authenticate": 'Bearer realm="authz", error="invalid_token"'}
    )
    assert refusal(head("HEAD"), 400, "bad_request", "no") == Reply(400, {})


def test_a_refusal_is_problem_json() -> None:
    """An answer that is no decision has the same shape, without a decision's ID."""
    reply = refusal(head(), 413, "too_large", "The body is larger than limits.body_bytes")
    assert reply == Reply(413, {"Content-Type": "application/problem+json"}, reply.body)
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "reason": "too_large",
        "detail": "The body is larger than limits.body_bytes",
    }


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
def test_only_a_clear_allow_is_200(reason: str) -> None:
    """The status is the reason's; 200 needs the flag as well, and a flag that the reason contradicts is none."""
    row = REASONS.get(reason)
    kind = row.kind if row else Kind.FORBIDDEN
    assert status_of(decision(reason, allow=True)) == kind.value
    assert status_of(decision(reason, allow=False)) == (503 if kind is Kind.ALLOW else kind.value)
