"""OPA plugins of Kong and APISIX, by their documented wire: what is read of the input, and the answers they obey."""

import json
from typing import Any

import pytest

from authz.core import REASONS, BadRequestError, BearerToken, Caller, Kind, split_path
from authz.gateways import PLUGINS, write
from tests.gateways.questions import ALICE, CALLER, TRACE, decision, head, members_of, question

KONG, APISIX = PLUGINS["/v1/data/authz/kong"], PLUGINS["/v1/data/authz/apisix"]
PLUGIN = pytest.mark.parametrize("plugin", PLUGINS.values(), ids=lambda plugin: plugin.name)

HEADERS: dict[str, Any] = {
    "host": "API.test:8000",
    "authorization": "Bearer abc",
    "user-agent": "curl/8",
    "x-request-id": "r-1",
    "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    "x-forwarded-for": "6.6.6.6",
    "x-authz-client-ip": "6.6.6.6",
    "x_request_id": "r-2",
}


def body(plugin: Any, path: str = "/memory/42", **changes: Any) -> bytes:
    """What a plugin posts for a GET, as its documentation shows it."""
    request: dict[str, Any] = {"method": "GET", "scheme": "http", "host": "api.test", "path": path, "headers": HEADERS}
    if plugin is KONG:
        request |= {"port": "8000", "tls": {}, "querystring": {"a": "b", "c": True}} | changes
        return json.dumps({"input": {"request": {"http": request}, "client_ip": "192.0.2.1"}}).encode()
    request |= {"port": 9080, "query": {"a": ["b", "c"]}} | changes
    var = {
        "server_addr": "10.0.0.2",
        "server_port": "9080",
        "remote_addr": "192.0.2.1",
        "remote_port": "5",
        "timestamp": 1,
    }
    return json.dumps({"input": {"type": "http", "request": request, "var": var, "route": {"id": "1"}}}).encode()


@PLUGIN
def test_an_input_is_read_whole(plugin: Any) -> None:
    """Method, path, host, token, address, agent, request ID and trace make the question; nothing else is believed."""
    assert members_of(plugin.read(body(plugin), CALLER)) == {
        **question(plugin.name, "GET", "/memory/42", "api.test"),
        "token": "abc",
        "ip": "192.0.2.1",
        "user_agent": "curl/8",
        "request_id": "r-1",
        "trace_id": TRACE,
        "trace_sampled": True,
    }


PATHS: dict[str, tuple[str, ...] | None] = {
    "/": ("",),
    "/memory/a b": ("memory", "a b"),
    "/memory/café": ("memory", "café"),
    "/memory/100%": ("memory", "100%"),
    "/memory/a@b:c": ("memory", "a@b:c"),
    "/memory/a%2fb": None,
    "/memory/%61": None,
    "/memory/..": None,
    "/memory//x": None,
    "/memory/a;b": None,
    "/memory/a?b": None,
    "/memory/a#b": None,
    "/memory/a\\b": None,
    "/memory/a\0b": None,
    "/memory/a\nb": None,
    "memory": None,
    "": None,
}


@PLUGIN
@pytest.mark.parametrize(("path", "segments"), PATHS.items(), ids=repr)
def test_a_decoded_path_is_plain_or_refused(plugin: Any, path: str, segments: tuple[str, ...] | None) -> None:
    """What could have been encoded in more than one way before the plugin decoded it is ambiguous."""
    assert split_path(plugin.read(body(plugin, path), CALLER).resource.id) == segments


@PLUGIN
@pytest.mark.parametrize("member", ["host", "method"])
def test_an_empty_host_or_method_is_refused(plugin: Any, member: str) -> None:
    """Without a host or a method the host is empty, which the core refuses."""
    assert plugin.read(body(plugin, **{member: ""}), CALLER).host == ""


@PLUGIN
def test_a_header_that_was_sent_twice_is_not_one(plugin: Any) -> None:
    """A second Authorization makes the token malformed; other doubled headers count as absent."""
    doubled = {**HEADERS, "authorization": ["Bearer abc", "Bearer abc"], "x-request-id": ["a", "b"], "user-agent": []}
    request = plugin.read(body(plugin, headers=doubled), CALLER)
    assert isinstance(request.token, BearerToken)
    assert (request.token.reveal(), request.request_id, request.user_agent) == ("abc,Bearer abc", None, None)


@PLUGIN
@pytest.mark.parametrize("headers", [{f"x-{n}": "1" for n in range(100)}, {"x-a": ["1"] * 60, "x-b": ["1"] * 40}])
def test_as_many_headers_as_a_plugin_can_tell_are_too_many(plugin: Any, headers: Any) -> None:
    """With 100 headers there may be more, a second Authorization among them: a refusal."""
    with pytest.raises(BadRequestError, match="100 or more"):
        plugin.read(body(plugin, headers=headers), CALLER)


@PLUGIN
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": 7}, "Expected `str`, got `int` - at `input.request"),
        ({"headers": []}, "Expected `object`, got `array` - at `input.request"),
        ({"headers": {"authorization": True}}, "Expected `str | array`, got `bool` - at `input.request"),
        ({"method": None}, "Expected `str`, got `null` - at `input.request"),
    ],
)
def test_an_input_of_another_shape_is_refused(plugin: Any, changes: dict[str, Any], says: str) -> None:
    """What cannot be read is a bad request that names the member, and quotes nothing."""
    with pytest.raises(BadRequestError) as refused:
        plugin.read(body(plugin, **changes), CALLER)
    assert str(refused.value).startswith(says)


@PLUGIN
@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[]", b"{}", b'{"input":{}}', b"[" * 9_000, b'{"input":"\xff"}', b'"\\ud800"']
)
def test_a_body_that_is_no_input_is_refused(plugin: Any, sent: bytes) -> None:
    """Whatever arrives, it is a question or a bad request."""
    with pytest.raises(BadRequestError):
        plugin.read(sent, CALLER)


def test_an_allow_is_a_real_true_with_identity() -> None:
    """An allow is the JSON literal true, and the headers for the upstream, all of them."""
    allow = decision("scope_granted", allow=True, subject=ALICE, scopes=("memory:read",))
    headers = {
        "X-Decision-Id": "id-1",
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "memory:read",
    }
    for plugin in (KONG, APISIX):
        reply = plugin.wrap(write(head(method="POST"), allow))
        assert (reply.status, json.loads(reply.body)) == (200, {"result": {"allow": True, "headers": headers}})


def test_a_denial_is_told_in_each_plugins_words() -> None:
    """A denial has the status, the headers and the problem document for the client, under the plugin's own names."""
    denied = write(head(method="POST"), decision("token_expired"))
    problem = json.loads(denied.body)
    common = {"allow": False, "headers": denied.headers}
    assert [json.loads(plugin.wrap(denied).body) for plugin in (KONG, APISIX)] == [
        {"result": {**common, "status": 401, "message": problem}},
        {"result": {**common, "status_code": 401, "reason": problem}},
    ]
    assert denied.headers["WWW-Authenticate"] == 'Bearer realm="authz", error="invalid_token"'


@PLUGIN
@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("allow", [True, False])
def test_only_a_clear_allow_is_true(plugin: Any, reason: str, allow: bool) -> None:
    """`allow` is true or false and nothing that Lua takes for true; undecided is a 503 as well."""
    reply = plugin.wrap(write(head(method="POST"), decision(reason, allow=allow, subject=ALICE)))
    kind = REASONS[reason].kind if reason in REASONS else Kind.FORBIDDEN
    assert json.loads(reply.body)["result"]["allow"] is (allow and kind is Kind.ALLOW)
    undecided = kind is Kind.UNDECIDED or (kind is Kind.ALLOW and not allow)
    assert reply.status == (503 if undecided else 200)


@PLUGIN
def test_a_token_may_be_in_a_cookie_where_that_is_configured(plugin: Any) -> None:
    """As in a check: in the client's headers, as the plugin tells them."""
    request = {"method": "GET", "path": "/memory", "host": "api.test", "headers": {"cookie": "a=b; session=abc"}}
    posted = json.dumps({"input": {**request, "request": {**request, "http": request}}}).encode()
    asked = [plugin.read(posted, caller) for caller in (Caller("edge", token_cookie="session"), Caller("edge"))]

    assert [each.token and each.token.reveal() for each in asked] == ["abc", None]
