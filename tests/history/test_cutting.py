"""Records that are cut, not parsed, are counted as if each were parsed."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.record import Chain
from authz.core import DecisionBody, Encoded, Event
from authz.core.account import Own
from authz.history import Fold, folding
from authz.history.cutting import cut
from tests.audit.ledger import StoppedClock
from tests.properties import many

NASTY = ("subject", "params", "id", "engine", 'a"b', '","engine":"', ',"subject":"x', "}", "{", "\\", "é", "")
TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=6))
PSEUDONYMS = tuple(f"h1:{key}:{name * 22}" for key in ("0123abcd", "deadbeef") for name in "xyz")
NAMES = st.one_of(st.sampled_from(PSEUDONYMS), st.sampled_from(("h1:", "h1:0123abcd:a:b", "alice")), TEXT)
NESTED = st.dictionaries(TEXT, st.one_of(NAMES, st.dictionaries(TEXT, NAMES, max_size=2)), max_size=3)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "decision": st.sampled_from(("allow", "deny")),
    "reason": st.sampled_from(("scope_granted", "scope_missing", '{"')),
    "operation": st.none() | TEXT,
    "subject": st.none() | NAMES,
    "roles": st.sampled_from(((), ("a",), ("a", "subject"), ("{",))),
    "granted_by": st.dictionaries(TEXT, st.just(("a",)), max_size=2),
    "route": st.none() | TEXT,
    "params": st.dictionaries(TEXT, NAMES, max_size=3),
    "path": st.none() | TEXT | st.sampled_from(("/x/y", f"/x/{PSEUDONYMS[0]}")),
    "resource": st.none()
    | NESTED
    | st.builds(lambda name: {"type": "doc", "engine": "e", "id": name}, st.sampled_from("abc")),
    "context": NESTED,
    "revision": st.sampled_from(("r1", "r2")),
    "ip": st.none() | st.sampled_from(("10.0.0.1", "192.0.2.9")),
    "enforced": st.booleans(),
}
FIXED: dict[str, Any] = {"action": "GET", "engine": "embedded", "dialect": "envoy", "caller": "edge"}
CHANGES = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name]))


def alike(base: dict[str, Any], changes: list[tuple[str, Any]]) -> list[DecisionBody]:
    """A record's body, and others that differ from it in one field each, where a wrong cut would show."""
    return [DecisionBody(**FIXED, **fields) for fields in (base, *({**base, name: value} for name, value in changes))]


def line_of(body: DecisionBody, *, in_batch: bool = False) -> bytes:
    """A record as it is written alone, or in a batch: there what is the item's own stands at the end."""
    event = Event("e1", "auth.scope_granted", body)
    if in_batch:
        own = Own(body.params, body.path, body.resource)
        shared = msgspec.json.encode(msgspec.structs.replace(body, params={}, path=None, resource=None))
        own_text = msgspec.json.encode(own)
        event = Event(
            "e1", event.type, Encoded(body, shared if own_text == b"{}" else shared[:-1] + b"," + own_text[1:])
        )
    return Chain(StoppedClock()).append(event)


def folded(lines: list[bytes], **options: Any) -> dict[Any, tuple[int, str, str, set[str] | None]]:
    """Every profile with its count, times and subjects."""
    fold = Fold(**options)
    fold.read("main", lines, 1)
    return {profile: (t.count, t.first, t.last, t.subjects) for profile, t in fold.tallies.items()}


@given(
    base=st.fixed_dictionaries(FIELDS),
    changes=st.lists(CHANGES, min_size=1, max_size=12),
    in_batch=st.booleans(),
    addresses=st.booleans(),
)
@many
def test_cutting_counts_as_parsing_does(
    base: dict[str, Any], changes: list[tuple[str, Any]], in_batch: bool, addresses: bool
) -> None:
    """Whatever is in a record's strings and inner objects, its profile, count and subject are those of parsing it."""
    lines = [line_of(body, in_batch=in_batch) for body in alike(base, changes) * 2]
    options = {"addresses": (lambda text: text)} if addresses else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "cut", lambda _line: None)
        parsed = folded(lines, **options)
    assert folded(lines, **options) == parsed


def test_most_records_are_cut() -> None:
    """A decision as gateways make it, with or without a subject, is not parsed."""
    body = DecisionBody(
        decision="allow",
        reason="scope_granted",
        subject=PSEUDONYMS[0],
        action="GET",
        route="/memory/{id}",
        params={"id": PSEUDONYMS[1]},
        revision="r1",
        engine="embedded",
        dialect="envoy",
        caller="edge",
    )
    first = cut(line_of(body))
    assert first is not None
    (kind, subject, _) = first
    assert (subject.decode(), kind[2]) == (PSEUDONYMS[0], ((b"id", "other"),))
    anonymous = cut(line_of(msgspec.structs.replace(body, subject=None)))
    assert anonymous is not None
    assert anonymous[1] == b""


def test_what_is_an_items_own_is_known() -> None:
    """The end of a record in a batch holds nothing but what a cut looks for there."""
    assert Own.__struct_fields__ == ("params", "path", "resource")


def _resource(name: str) -> dict[str, str]:
    return {"type": "doc", "engine": "e", "id": name}


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("path", "/a", "/b"),
        ("enforced", True, False),
        ("resource", _resource("a"), _resource("b")),
        ("params", {"id": PSEUDONYMS[0]}, {"id": PSEUDONYMS[1]}),
        ("params", {"a": "alice"}, {"b": "alice"}),
        ("subject", PSEUDONYMS[0], None),
        ("revision", "r1", "r2"),
    ],
)
def test_what_makes_a_profile_another_is_not_cut_away(field: str, one: Any, other: Any, in_batch: bool) -> None:
    """Two records that differ in this alone have two profiles, each met twice, alone and in a batch."""
    plain = {**FIXED, "decision": "deny", "reason": "x", "revision": "r1", "subject": PSEUDONYMS[0]}
    lines = [line_of(DecisionBody(**{**plain, field: value}), in_batch=in_batch) for value in (one, other) * 2]
    assert sorted(each[0] for each in folded(lines).values()) == [2, 2]
