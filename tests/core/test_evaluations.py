"""Many evaluations in one body: defaults replaced whole, and what is wrong with an element stays with it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.core import BadRequestError, Evaluation, Evaluations, TooLargeError, Until, read_evaluations
from authz.core.evaluations import _one_by_one, _without_fault
from tests.properties import many

ALICE = {"type": "user", "id": "alice"}
READ = {"name": "read"}
RECORD = {"type": "record", "id": "1", "properties": {"status": "active"}}


def read(**body: Any) -> Evaluations:
    found = read_evaluations(msgspec.json.encode(body), 500)
    assert isinstance(found, Evaluations)
    return found


def said(items: list[Any]) -> list[Any]:
    """Errors by their words, so that they can be compared."""
    return [str(each) if isinstance(each, BadRequestError) else each for each in items]


def test_an_element_replaces_a_default_whole() -> None:
    """What an element has stands for all of it; what it lacks, or has as null, is the default."""
    items = read(
        subject=ALICE, action=READ, resource=RECORD, context={"a": 1},
        evaluations=[{}, {"resource": {"type": "record", "id": "2"}, "context": {"b": 2}}, {"resource": None}],
    ).items  # fmt: skip
    first, second, third = items
    assert first == third
    assert isinstance(first, Evaluation)
    assert isinstance(second, Evaluation)
    assert (first.resource.properties, first.context) == ({"status": "active"}, {"a": 1})
    assert (second.resource.properties, second.context, second.subject) == ({}, {"b": 2}, first.subject)


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ({"resource": {"id": "2"}}, "resource: Object missing required field `type`"),
        ({"subject": "alice"}, "subject: Expected `object`, got `str`"),
        ({"action": {"name": 1}}, "action.name: Expected `str`, got `int`"),
        ({"context": []}, "context: Expected `object | null`, got `array`"),
    ],
)
def test_a_fault_stays_in_its_element(element: dict[str, Any], words: str) -> None:
    """A wrong element is an error that names the field; its neighbours are not touched."""
    items = read(subject=ALICE, action=READ, resource=RECORD, evaluations=[{}, element, {}]).items
    assert said(items)[1] == words
    assert isinstance(items[0], Evaluation)
    assert items[0] == items[2]


def test_an_incomplete_default_is_judged_where_it_is_needed() -> None:
    """A default that lacks something counts only for the elements that fall back on it."""
    items = read(subject=ALICE, action=READ, resource={"type": "record"}, evaluations=[{}, {"resource": RECORD}]).items
    assert said(items)[0] == "resource: Object missing required field `id`"
    assert isinstance(items[1], Evaluation)
    assert said(read(action=READ, resource=RECORD, evaluations=[{}]).items) == [
        "subject: required, and there is no default"
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"evaluations": {}}, "evaluations"),
        ({"evaluations": ["x"]}, "evaluations[0]"),
        ({"subject": "alice", "evaluations": [{}]}, "subject"),
        ({"options": 3, "evaluations": [{}]}, "options"),
        ({"options": {"evaluations_semantic": "first"}, "evaluations": [{}]}, "options.evaluations_semantic"),
        ({"options": {"evaluations_semantic": 1}, "evaluations": [{}]}, "options.evaluations_semantic"),
        ({"subject": ALICE, "action": READ, "evaluations": []}, ""),
    ],
)
def test_what_is_no_batch_is_refused(body: Any, field: str) -> None:
    """A fault of the whole request is one refusal that names the field, not an array of falses."""
    with pytest.raises(BadRequestError) as refused:
        read_evaluations(msgspec.json.encode(body), 500)
    assert str(refused.value).startswith(field)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"3", b"{", b"\xff", b'{"evaluations":[{"subject":"\\ud800"}]}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Neither broken JSON nor anything but an object is a batch."""
    with pytest.raises(BadRequestError):
        read_evaluations(body, 500)


def test_semantics() -> None:
    """Each semantic says where the batch stops; without one it does not."""
    whole = {"subject": ALICE, "action": READ, "resource": RECORD, "evaluations": [{}]}
    found = [read(**whole, options={"evaluations_semantic": each}).until for each in _SEMANTICS]
    assert found == [None, Until(allow=False), Until(allow=True)]
    assert read(**whole, options={"other": 1}).until is None
    assert read(**whole, options=None).until is None


_SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")


def test_too_many_are_refused_before_any_is_read() -> None:
    """A batch over the limit is too large, whatever is in it."""
    with pytest.raises(TooLargeError, match=r"3 are more than limits\.batch_items"):
        read_evaluations(msgspec.json.encode({"evaluations": [{}] * 3}), 2)


_entities = st.one_of(
    st.just(ALICE), st.just(RECORD), st.just({"type": "x"}), st.none(), st.just("x"),
    st.just({"type": "t", "id": "i", "properties": None}), st.just({"type": "t", "id": "i", "more": 1}),
)  # fmt: skip
_actions: st.SearchStrategy[Any] = st.one_of(
    st.just(READ), st.just({}), st.none(), st.just({"name": "w", "properties": {"a": [1]}})
)
_contexts: st.SearchStrategy[Any] = st.one_of(st.none(), st.just({"a": {"b": 1}}), st.just([]), st.just({}))
_members = {"subject": _entities, "action": _actions, "resource": _entities, "context": _contexts}
_elements = st.fixed_dictionaries({}, optional=_members)


@many
@given(st.fixed_dictionaries({"evaluations": st.lists(_elements, max_size=4)}, optional=_members))
def test_the_fast_way_reads_what_the_slow_one_reads(body: dict[str, Any]) -> None:
    """A batch that is read in one go is read as it would have been element by element."""
    text = msgspec.json.encode(body)
    fast = _without_fault(text, 500)
    if fast is not None:
        slow = _one_by_one(text, 500)
        assert isinstance(slow, Evaluations)
        assert fast == slow
