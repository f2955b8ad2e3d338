"""What every dialect shares in reading: the token, where a question comes from, and nothing that is there twice."""

import pytest
from multidict import CIMultiDict

from authz.core import Caller
from authz.gateways import bearer_token, provenance
from authz.gateways.wire import user_token

TRACE = "0af7651916cd43dd8448eb211c80319c"


def headers(*fields: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(fields)


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


ELSEWHERE: dict[str, tuple[list[tuple[str, str]], str | None]] = {
    "nowhere": ([], None),
    "a cookie": ([("Cookie", "a=b; session=abc; c=d")], "abc"),
    "a cookie that was taken away": ([("Cookie", "session=")], None),
    "another cookie's end": ([("Cookie", "my-session=abc; a=session=abc")], None),
    "a cookie in other letters": ([("Cookie", "Session=abc")], None),
    "a cookie in quotes": ([("Cookie", 'session="abc"')], '"abc"'),
    "two cookies": ([("Cookie", "session=abc; session=def")], "abc,def"),
    "two headers": ([("Cookie", "session=abc"), ("Cookie", "session=abc")], "abc,abc"),
    "a subprotocol": ([("Sec-WebSocket-Protocol", "chat, bearer.abc.def")], "abc.def"),
    "two subprotocols": ([("Sec-WebSocket-Protocol", "bearer.abc,bearer.def")], "abc,def"),
    "an empty subprotocol": ([("Sec-WebSocket-Protocol", "bearer.")], None),
    "both": ([("Cookie", "session=abc"), ("Sec-WebSocket-Protocol", "bearer.abc")], "abc,abc"),
    "Authorization too": ([("Cookie", "session=abc"), ("Authorization", "Bearer def")], "def"),
    "Authorization, but no token": ([("Cookie", "session=abc"), ("Authorization", "Basic YTpi")], "abc"),
}


@pytest.mark.parametrize(("sent", "token"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_token_elsewhere_is_read_where_a_gateway_is_said_to_have_it(
    sent: list[tuple[str, str]], token: str | None
) -> None:
    """In its cookie or subprotocol, after `Authorization`; of two, neither counts. Others' are not looked at."""
    gateway = Caller("gateway", token_cookie="session", token_subprotocol="bearer.")
    found, plain = user_token(headers(*sent), gateway), user_token(headers(*sent), Caller("gateway"))

    assert (found.reveal() if found else None) == token
    assert plain is None or plain.reveal() == "def"


def test_an_underscore_is_not_a_hyphen() -> None:
    """A header whose name has underscores is another header, and means nothing here."""
    sent = headers(
        ("X_Request_ID", "r-1"),
        ("X_Authz_Client_IP", "6.6.6.6"),
        ("X_Authz_User_Agent", "curl"),
        ("X_Authz_Session_ID", "s-1"),
    )
    nothing = {
        "request_id": None,
        "trace_id": None,
        "trace_sampled": False,
        "session_id": None,
        "ip": None,
        "user_agent": None,
    }
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
        "trace_sampled": True,
        "session_id": "s-1",
        "ip": "192.0.2.1",
        "user_agent": "curl/8",
    }


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Authz-Client-IP", "X-Authz-User-Agent", "X-Authz-Session-ID"])
@pytest.mark.parametrize("values", [[""], ["a", "b"], ["a", "a"], ["", "a"]])
def test_a_repeated_or_empty_header_counts_as_absent(name: str, values: list[str]) -> None:
    """Of several values none is picked."""
    assert set(provenance(headers(*((name, value) for value in values))).values()) == {None, False}


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


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("0b", True), ("fe", False)]
)
def test_a_sampled_trace_is_told_apart(flags: str, sampled: bool) -> None:
    """The lowest bit of the flags of a `traceparent` says whether the trace is sampled."""
    assert provenance(headers(("traceparent", f"00-{TRACE}-b7ad6b7169203331-{flags}")))["trace_sampled"] is sampled
