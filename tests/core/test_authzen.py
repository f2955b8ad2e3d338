"""AuthZEN 1.0, the single evaluation: what is read, what is refused by field, and the bare answer."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.core import (
    ANONYMOUS,
    REASONS,
    Action,
    BadRequestError,
    Decision,
    Entity,
    Evaluation,
    Kind,
    read_evaluation,
    write_decision,
)
from tests.properties import many

GOOD: dict[str, Any] = {
    "subject": {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}},
    "action": {"name": "GET", "properties": {"method": "GET"}},
    "resource": {"type": "route", "id": "/memory/42", "properties": {"host": "api.test"}},
    "context": {"purpose": "care"},
}
READ = Evaluation(
    subject=Entity("user", "alice", {"roles": ["user_basic"]}),
    action=Action("GET", {"method": "GET"}),
    resource=Entity("route", "/memory/42", {"host": "api.test"}),
    context={"purpose": "care"},
)
BARE = Evaluation(subject=Entity("user", "alice"), action=Action("GET"), resource=Entity("route", "/"), context={})


def body(**members: Any) -> bytes:
    """GOOD with some members put in, by name or by `entity__member`; `...` takes one out."""
    document = json.loads(json.dumps(GOOD))
    for name, value in members.items():
        *entity, member = name.split("__")
        inner = document[entity[0]] if entity else document
        inner.pop(member) if value is ... else inner.__setitem__(member, value)
    return json.dumps(document).encode()


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def refusal(sent: bytes) -> str:
    with pytest.raises(BadRequestError) as caught:
        read_evaluation(sent)
    return str(caught.value)


def test_a_whole_request_is_read() -> None:
    """Every member of AuthZEN's evaluation request is read as it was sent."""
    assert read_evaluation(body()) == READ


def test_a_minimal_request_is_read() -> None:
    """Properties and context may be left out."""
    sent = b'{"subject":{"type":"user","id":"alice"},"action":{"name":"GET"},"resource":{"type":"route","id":"/"}}'
    assert read_evaluation(sent) == BARE


def test_null_means_absent_where_a_member_is_optional() -> None:
    """`null` for properties or context is as if they were left out."""
    sent = body(
        subject__properties=None, action__properties=None, resource__properties=None, context=None, resource__id="/"
    )
    assert read_evaluation(sent) == BARE


def test_unknown_members_are_ignored() -> None:
    """Members that AuthZEN does not know are ignored, at the top and inside each entity."""
    sent = body(
        evaluations=[7],
        options={},
        subject__name="Alice",
        action__id="x",
        resource__owner=[1],
        resource__route="/admin",
    )
    assert read_evaluation(sent) == READ


def test_texts_may_be_empty_and_unusual() -> None:
    """Type, ID and name may be any JSON string, the empty one too: the policy judges them."""
    sent = body(subject__type="", subject__id="\x00 \u2028😀", action__name="", resource__id="")
    read = read_evaluation(sent)
    assert (read.subject.type, read.subject.id, read.action.name, read.resource.id) == ("", "\x00 \u2028😀", "", "")


def test_of_a_duplicate_name_the_last_counts() -> None:
    """A name sent twice in one object counts with its last value, here as in Python's and Go's parsers."""
    sent = (
        b'{"subject":{"type":"user","id":"root","id":"alice"},"action":{"name":"GET"},'
        b'"resource":{"type":"route","id":"/admin"},"resource":{"type":"route","id":"/"}}'
    )
    assert read_evaluation(sent) == BARE


MALFORMED = {
    "subject missing": (body(subject=...), "Object missing required field `subject`"),
    "action missing": (body(action=...), "Object missing required field `action`"),
    "resource missing": (body(resource=...), "Object missing required field `resource`"),
    "subject null": (body(subject=None), "subject: Expected `object`, got `null`"),
    "action null": (body(action=None), "action: Expected `object`, got `null`"),
    "resource null": (body(resource=None), "resource: Expected `object`, got `null`"),
    "subject a string": (body(subject="alice"), "subject: Expected `object`, got `str`"),
    "subject an array": (body(subject=[]), "subject: Expected `object`, got `array`"),
    "subject empty": (body(subject={}), "subject: Object missing required field `type`"),
    "subject type missing": (body(subject__type=...), "subject: Object missing required field `type`"),
    "subject id missing": (body(subject__id=...), "subject: Object missing required field `id`"),
    "subject type a number": (body(subject__type=1), "subject.type: Expected `str`, got `int`"),
    "subject id null": (body(subject__id=None), "subject.id: Expected `str`, got `null`"),
    "subject id true": (body(subject__id=True), "subject.id: Expected `str`, got `bool`"),
    "resource type missing": (body(resource__type=...), "resource: Object missing required field `type`"),
    "resource id missing": (body(resource__id=...), "resource: Object missing required field `id`"),
    "resource id a number": (body(resource__id=42), "resource.id: Expected `str`, got `int`"),
    "action empty": (body(action={}), "action: Object missing required field `name`"),
    "action name a number": (body(action__name=123), "action.name: Expected `str`, got `int`"),
    "subject properties an array": (
        body(subject__properties=[]),
        "subject.properties: Expected `object | null`, got `array`",
    ),
    "action properties a string": (
        body(action__properties="x"),
        "action.properties: Expected `object | null`, got `str`",
    ),
    "resource properties a number": (
        body(resource__properties=1),
        "resource.properties: Expected `object | null`, got `int`",
    ),
    "context an array": (body(context=[]), "context: Expected `object | null`, got `array`"),
    "context a string": (body(context="x"), "context: Expected `object | null`, got `str`"),
    "subject properties too deep": (
        body(subject__properties=nested(33)),
        "subject.properties is nested more than 32 deep",
    ),
    "action properties too deep": (
        body(action__properties=nested(33)),
        "action.properties is nested more than 32 deep",
    ),
    "resource properties too deep": (
        body(resource__properties=nested(33)),
        "resource.properties is nested more than 32 deep",
    ),
    "context too deep": (body(context=nested(33)), "context is nested more than 32 deep"),
    "context far too deep": (
        b'{"context": ' + b'{"a":' * 100_000,
        "The body is nested more than 32 deep",
    ),
    "an unknown member far too deep": (b'{"x": ' + b"[" * 100_000, "The body is nested more than 32 deep"),
    "number out of range": (
        body().replace(b'"care"', b"1e400"),
        "context[...]: Number out of range",
    ),
    "an array": (b"[]", "Expected `object`, got `array`"),
    "a string": (b'"x"', "Expected `object`, got `str`"),
    "null": (b"null", "Expected `object`, got `null`"),
}


@pytest.mark.parametrize(("sent", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_by_field(sent: bytes, message: str) -> None:
    """What is missing or of the wrong type is refused, and the message names it."""
    assert refusal(sent) == message


NOT_JSON = {
    "empty": b"",
    "text": b"allow",
    "cut off": body()[:-1],
    "two documents": body() + body(),
    "byte order mark": b"\xef\xbb\xbf" + body(),
    "UTF-16": body().decode().encode("utf-16"),
    "NaN": body().replace(b'"care"', b"NaN"),
    "single quotes": body().replace(b'"', b"'"),
    "lone surrogate": body(subject__id="\ud800"),
    "lone surrogate amid text": body(subject__id="alice\ud800 and more text"),
    "surrogates in the wrong order": body(context={"a": "\udc00\ud800"}),
    "lone surrogate in a name": body(context={"\ud800": 1}),
    "invalid UTF-8": body().replace(b"alice", b"\xff"),
    "invalid UTF-8 in a name": body().replace(b"purpose", b"\xff"),
    "a surrogate in UTF-8": body().replace(b"alice", b"\xed\xa0\x80"),
    "overlong UTF-8": body().replace(b"alice", b"\xc0\xaf"),
}


@pytest.mark.parametrize("sent", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_json_is_refused(sent: bytes) -> None:
    """A body that is not one JSON document in UTF-8 (RFC 7493) is refused as such."""
    assert refusal(sent).startswith("The body is not valid JSON: ")


def test_nesting_up_to_the_limit_is_read() -> None:
    """Properties and context may be nested 32 deep."""
    assert read_evaluation(body(context=nested(32))).context == nested(32)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "name", "x"]), inner),
    max_leaves=6,
)


@many
@given(
    st.binary() | st.fixed_dictionaries({"subject": JSON, "action": JSON, "resource": JSON}).map(msgspec.json.encode)
)
def test_any_body_is_read_or_refused(sent: bytes) -> None:
    """Whatever is sent, it is read, or refused as a bad request: never another error."""
    try:
        read = read_evaluation(sent)
    except BadRequestError:
        return
    assert isinstance(read.subject.id, str)


def decision(reason: str, *, allow: bool, number: int = 1) -> Decision:
    return Decision(
        id=f"id-{number}",
        allow=allow,
        reason=reason,
        revision="0123456789abcdef",
        subject=ANONYMOUS,
        scopes=("memory:read",),
        missing=() if allow else ("memory:read",),
        granted_by={"memory:read": ("user_basic",)} if allow else {},
        headers={"X-Tenant": "acme"},
        route="/memory/{id}",
    )


def test_answers_are_bare_and_the_same_each_time() -> None:
    """The body is the decision alone, byte for byte the same for every allow and for every deny."""
    allows = {write_decision(decision("scope_granted", allow=True, number=number)) for number in range(3)}
    denies = {write_decision(decision("scope_missing", allow=False, number=number)) for number in range(3)}
    assert (allows, denies) == ({b'{"decision":true}'}, {b'{"decision":false}'})


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("explain", [True, False])
def test_true_needs_flag_and_reason(reason: str, explain: bool) -> None:
    """The answer is true only when the decision allows and its reason is one that allows."""
    allows = reason in REASONS and REASONS[reason].kind is Kind.ALLOW
    for flag in (True, False):
        written = json.loads(write_decision(decision(reason, allow=flag), explain=explain))
        assert written["decision"] is (flag and allows)


def test_an_explanation_is_given_on_request() -> None:
    """With `explain` the context says why, and nothing that is meant for the upstream."""
    assert json.loads(write_decision(decision("scope_granted", allow=True), explain=True)) == {
        "decision": True,
        "context": {
            "id": "id-1",
            "reason": "scope_granted",
            "scopes": ["memory:read"],
            "missing": [],
            "granted_by": {"memory:read": ["user_basic"]},
            "revision": "0123456789abcdef",
        },
    }
