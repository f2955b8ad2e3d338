"""Envoy's `ext_authz` over HTTP: what is read of a check."""

import pytest

from authz.core import BearerToken
from authz.gateways import DIALECTS
from tests.gateways.questions import CALLER, TRACE, head, members_of, question

ENVOY = DIALECTS["/check/envoy"]


def test_a_check_is_read_whole() -> None:
    """The client's method, raw target, Host and token make the question, with what the gateway says of the client."""
    request = ENVOY.read(
        head(
            ("Host", "API.test:443"),
            ("Authorization", "Bearer abc"),
            ("X-Request-ID", "r-1"),
            ("X-Authz-Client-IP", "192.0.2.1"),
            ("X-Authz-User-Agent", "curl/8"),
            ("X-Authz-Session-ID", "s-1"),
            ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),
            method="DELETE",
            target="/memory/42?full=1",
        ),
        CALLER,
        BearerToken("abc"),
    )
    assert members_of(request) == {
        **question("envoy", "DELETE", "/memory/42?full=1", "API.test:443"),
        "token": "abc",
        "request_id": "r-1",
        "trace_id": TRACE,
        "trace_sampled": True,
        "session_id": "s-1",
        "ip": "192.0.2.1",
        "user_agent": "curl/8",
    }


def test_other_gateways_headers_mean_nothing() -> None:
    """The headers by which other gateways tell method, path, host and address are ignored."""
    sent = [
        ("Host", "api.test"),
        ("X-Forwarded-Method", "HEAD"),
        ("X-Forwarded-Uri", "/health"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Original-URI", "/health"),
        ("X-Original-Method", "HEAD"),
        ("X-Original-Host", "evil.test"),
        ("X-HTTP-Method-Override", "HEAD"),
    ]
    assert members_of(ENVOY.read(head(*sent), CALLER, None)) == question("envoy", "GET", "/memory/42", "api.test")


@pytest.mark.parametrize("hosts", [[], [""], ["a.test", "b.test"], ["a.test", "a.test"]])
def test_no_host_or_two_is_an_empty_one(hosts: list[str]) -> None:
    """Without exactly one Host the question has an empty host, which the core refuses."""
    request = ENVOY.read(head(*(("Host", host) for host in hosts)), CALLER, None)
    assert members_of(request) == question("envoy", "GET", "/memory/42", "")


def test_the_token_is_the_listeners_to_give() -> None:
    """`Authorization` may be the caller's own secret: without a token from the listener the question has none."""
    assert ENVOY.read(head(("Host", "h"), ("Authorization", "Bearer secret")), CALLER, None).token is None


@pytest.mark.parametrize(
    ("told", "within"),
    [
        (["500"], 0.5),
        (["0"], 0.0),
        (["15000"], 15.0),
        ([], None),
        ([""], None),
        (["500", "900"], None),
        (["-1"], None),
        (["1.5"], None),
        (["9" * 30], None),
    ],
)
def test_envoy_says_how_long_it_waits(told: list[str], within: float | None) -> None:
    """The timeout of the check, in milliseconds, is the question's; what is no number is none."""
    sent = [("Host", "h"), *(("x-envoy-expected-rq-timeout-ms", value) for value in told)]
    assert ENVOY.read(head(*sent), CALLER, None).within_seconds == within
