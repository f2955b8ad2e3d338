"""Gateways that tell the original request in headers: one fixed set each, nothing else believed."""

from typing import Any

import pytest

from authz.core import BearerToken, Caller, Catalogue, PolicyDecision, split_path
from authz.gateways import DIALECTS, dialect_prefix
from authz.gateways.original import forwarded_for
from tests.fakes import FakePolicy, House
from tests.gateways.questions import ALICE, CALLER, EVIL, OWN, TRACE, head, members_of, question

REQUIRED = {
    name: [field for field in fields if field.startswith(("X-Original", "X-Forwarded")) and field != "X-Forwarded-For"]
    for name, fields in OWN.items()
}

BY_NAME = {dialect.name: dialect for dialect in DIALECTS.values()}
DIALECT = pytest.mark.parametrize("name", OWN)


def read(name: str, *fields: tuple[str, str], caller: Caller = CALLER, token: BearerToken | None = None) -> Any:
    """What a dialect makes of a GET of its own route with these fields."""
    return members_of(BY_NAME[name].read(head(*fields, target=""), caller, token))


def expected(name: str, **members: Any) -> dict[str, Any]:
    """The question in OWN."""
    session = "s-1" if "X-Authz-Session-ID" in OWN[name] else None
    told = {"session_id": session, "ip": "192.0.2.1", "user_agent": "curl/8", **members}
    return question(name, "DELETE", "/memory/42?full=1", "API.test:443", **told)


@DIALECT
def test_a_check_is_read_whole(name: str) -> None:
    """Method, raw target, host, token, address, agent, request ID and trace are read from the gateway's own headers."""
    sent = {**OWN[name], "X-Request-ID": "r-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    assert read(name, *sent.items(), token=BearerToken("abc")) == {
        **expected(name, request_id="r-1", trace_id=TRACE, trace_sampled=True),
        "token": "abc",
    }


@DIALECT
def test_no_other_family_of_headers_is_believed(name: str) -> None:
    """What another gateway's headers say is ignored, before or after the gateway's own."""
    others = [(field, value) for field, value in EVIL.items() if field not in OWN[name]]
    assert read(name, *others, *OWN[name].items()) == expected(name)
    assert read(name, *OWN[name].items(), *others) == expected(name)


@DIALECT
def test_an_underscore_is_not_a_hyphen(name: str) -> None:
    """A header whose name has underscores is another header: it neither counts nor makes a required one double."""
    underscored = [(field.replace("-", "_"), value) for field, value in EVIL.items()]
    assert read(name, *underscored, *OWN[name].items()) == expected(name)
    assert read(name, *underscored)["host"] == ""


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in REQUIRED.items() for field in fields])
@pytest.mark.parametrize("how", ["missing", "empty", "twice", "twice the same"])
async def test_a_required_header_that_is_not_there_once_is_a_recorded_denial(name: str, field: str, how: str) -> None:
    """Missing, empty or repeated: the decision is `ambiguous_path`, in the ledger, whoever asks and for what."""
    fields = [(each, value) for each, value in OWN[name].items() if each != field]
    fields += {
        "missing": [],
        "empty": [(field, "")],
        "twice": [(field, OWN[name][field]), (field, EVIL[field])],
        "twice the same": [(field.lower(), OWN[name][field]), (field, OWN[name][field])],
    }[how]
    policy = FakePolicy(PolicyDecision(allow=True, reason="scope_granted", scopes=()), Catalogue(scopes=(), roles=()))
    house = House(policy, {"good": ALICE})
    decided = await house.decisions.decide(BY_NAME[name].read(head(*fields), CALLER, BearerToken("good")))

    assert (decided.allow, decided.reason) == (False, "ambiguous_path")
    assert [event.type for event in house.ledger.events] == ["auth.scope_denied"]
    assert policy.asked == []


@DIALECT
@pytest.mark.parametrize("target", ["/a\udce4b", "/\udcff", "/a\x7fb"])
def test_raw_bytes_in_a_target_stay_what_they_are(name: str, target: str) -> None:
    """A target is never made readable: `?` in place of a raw byte would cut the path short."""
    field = next(each for each in ("X-Original-URI", "X-Original-URL", "X-Forwarded-Uri") if each in OWN[name])
    value = f"https://API.test:443{target}" if field == "X-Original-URL" else target
    request = BY_NAME[name].read(head(*{**OWN[name], field: value}.items()), CALLER, None)
    assert (request.resource.id, split_path(request.resource.id)) == (target, None)


@DIALECT
def test_the_token_is_the_listeners_to_give(name: str) -> None:
    """`Authorization` may be the caller's own secret: without a token from the listener the question has none."""
    assert read(name, ("Authorization", "Bearer secret"), *OWN[name].items()) == expected(name)


URLS = {
    "http://h/a": ("h", "/a"),
    "https://h:8443/a?b=/c": ("h:8443", "/a?b=/c"),
    "https://[::1]:80/": ("[::1]:80", "/"),
    "http://evil?@h/a": ("evil?@h", "/a"),
    "http://h#/a": ("h#", "/a"),
    "http:///a": ("", "/a"),
    "http://h": ("", ""),
    "http://h*": ("", ""),
    "ftp://h/a": ("", ""),
    "//h/a": ("", ""),
    "/a": ("", ""),
    "HTTP://h/a": ("", ""),
    "xhttp://h/a": ("", ""),
    "http://h/a\nb": ("h", "/a\nb"),
}


@pytest.mark.parametrize(("url", "told"), URLS.items(), ids=repr)
def test_the_url_of_ingress_nginx_is_cut_at_the_first_slash(url: str, told: tuple[str, str]) -> None:
    """A client chooses both its Host and its target: whatever stands before the first slash is the host, or none."""
    request = read("ingress-nginx", ("X-Original-URL", url), ("X-Original-Method", "GET"))
    assert (request["host"], request["resource"].id) == told


HOPS: dict[str, tuple[list[str], int, str | None]] = {
    "the gateway's word alone": (["192.0.2.1"], 1, "192.0.2.1"),
    "the last of a list": (["6.6.6.6, 192.0.2.1"], 1, "192.0.2.1"),
    "the last of several fields": (["6.6.6.6", "7.7.7.7,192.0.2.1"], 1, "192.0.2.1"),
    "behind one more proxy": (["6.6.6.6, 192.0.2.1, 10.0.0.2"], 2, "192.0.2.1"),
    "fewer than there should be": (["192.0.2.1"], 2, None),
    "none": ([], 1, None),
    "empty": ([""], 1, None),
    "raw bytes, which no record could hold": ([b"caf\xe9".decode("utf-8", "surrogateescape")], 1, "caf?"),
    "a client's comma": (["6.6.6.6,, 192.0.2.1"], 2, None),
}


@pytest.mark.parametrize(("sent", "hops", "address"), HOPS.values(), ids=HOPS)
def test_an_address_counts_when_a_proxy_of_ours_wrote_it(sent: list[str], hops: int, address: str | None) -> None:
    """Of X-Forwarded-For only so many entries count, from the end, as there are proxies of ours; never the first."""
    assert forwarded_for(head(*(("X-Forwarded-For", each) for each in sent)).headers, hops) == address


@pytest.mark.parametrize("name", ["traefik", "caddy", "apisix"])
def test_a_caller_has_its_own_number_of_proxies(name: str) -> None:
    """`trusted_hops` of the caller says how far back in X-Forwarded-For the client is."""
    request = BY_NAME[name].read(head(*OWN[name].items()), Caller("g", trusted_hops=2), None)
    assert request.ip == "6.6.6.6"


def test_each_route_speaks_one_dialect() -> None:
    """Each route has its dialect, under the name that is written into the record, and nothing else speaks one."""
    assert {prefix: dialect.name for prefix, dialect in DIALECTS.items()} == {
        f"/check/{name}": name for name in ("envoy", "nginx", "ingress-nginx", "traefik", "caddy", "haproxy", "apisix")
    }
    routes = {"/check/envoy/": "/check/envoy", "/check/envoy//": "/check/envoy", "/check/envoy/a/b": "/check/envoy"}
    routes |= {f"/check/{name}": f"/check/{name}" for name in OWN}
    assert {path: dialect_prefix(path) for path in routes} == routes
    others = ["/", "/check", "/check/", "/check/envoy", "/check/envoyx", "/check/nginx/", "/check/nginx/a"]
    others += ["/check/NGINX", "/check/nginxx", "/check/Envoy/a", "//check/nginx", "/check//nginx"]
    assert {path: dialect_prefix(path) for path in others} == dict.fromkeys(others)
