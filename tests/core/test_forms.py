"""A route may accept forms that are refused elsewhere, in its parameters, where no reading leads to another route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.core import (
    ANONYMOUS,
    AccessRequest,
    Action,
    Caller,
    Entity,
    Route,
    RouteTable,
    split_path,
)
from authz.core.forms import read_formed
from authz.core.place import Place, locate
from tests.properties import many

FILE = Route(method="GET", path="/files/{id}", accepts=("encoded_slash",))
SHARE = Route(method="GET", path="/files/{id}/share")
TREE = Route(method="GET", path="/tree/{rest...}", accepts=("encoded_slash", "semicolon"))
TREE_ROOT = Route(method="GET", path="/tree/root")
CAR = Route(method="GET", path="/cars/{id}", accepts=("semicolon",))
CAR_ADMIN = Route(method="GET", path="/cars/admin")
PLAIN = Route(method="GET", path="/plain/{id}")
TABLE = RouteTable((FILE, SHARE, TREE, TREE_ROOT, CAR, CAR_ADMIN, PLAIN))
REFUSED = Place(ambiguous=True)

PLACES: dict[str, Place] = {
    "/files/a%2fb": Place(route=FILE, params={"id": "a/b"}),
    "/files/a%2Fb%2Fc": Place(route=FILE, params={"id": "a/b/c"}),
    "/files/a%2fb?x=;": Place(route=FILE, params={"id": "a/b"}),
    "/files/caf%C3%A9%2fb": Place(route=FILE, params={"id": "café/b"}),
    "/tree/a/b%2fc": Place(route=TREE, params={"rest": "a/b/c"}),
    "/tree/a;v=1/b": Place(route=TREE, params={"rest": "a;v=1/b"}),
    "/tree/a;v=%2fc/b": Place(route=TREE, params={"rest": "a;v=/c/b"}),
    "/cars/x;y=1": Place(route=CAR, params={"id": "x;y=1"}),
    "/cars/x%3By=1": Place(route=CAR, params={"id": "x;y=1"}),
    # Not accepted there.
    "/plain/a%2fb": REFUSED,
    "/plain/a;b": REFUSED,
    "/files/a;b": REFUSED,
    "/files/a%2fb;c": REFUSED,
    "/cars/a%2fb": REFUSED,
    "/nowhere/a%2fb": REFUSED,
    "/files%2fa": REFUSED,
    # Another route to whoever decodes or cuts.
    "/files/a%2fshare": REFUSED,
    "/cars/admin;x=1": REFUSED,
    "/cars/admin%3b": REFUSED,
    "/tree/root;x": REFUSED,
    # Ambiguous for more than that.
    "/files/..%2fb": REFUSED,
    "/files/a%2f..%2fb": REFUSED,
    "/files/a%2f%2e%2e%2fb": REFUSED,
    "/files/a%2f": REFUSED,
    "/tree/a;v=%2f/b": REFUSED,
    "/files/a%2f%2fb": REFUSED,
    "/files/%2fb": REFUSED,
    "/files/a%252fb": REFUSED,
    "/files/a%2fb%00": REFUSED,
    "/files/a%2fb\\c": REFUSED,
    "/files/a%5cb": REFUSED,
    "/cars/..;x": REFUSED,
    "/cars/..;x/b": REFUSED,
    "/cars/;x": REFUSED,
    "/cars/a;%2e%2e": REFUSED,
    "/cars/a;/../b": REFUSED,
    "/tree/a;b%2f..;c": REFUSED,
    "/tree/a%2f;x/b": REFUSED,
    "/tree/a;x%2f../b": REFUSED,
}


def place(target: str, method: str = "GET") -> Place:
    """Where a target points in the table."""
    asked = AccessRequest(caller=Caller("g"), dialect="t", action=Action(method), resource=Entity("route", target))
    return locate(asked, ANONYMOUS, TABLE)


@pytest.mark.parametrize(("target", "expected"), PLACES.items(), ids=PLACES.keys())
def test_a_form_is_accepted_where_the_route_says_so(target: str, expected: Place) -> None:
    """Only in a parameter, only by a route that accepts it, and only if it is the same route however it is read."""
    assert place(target) == expected


def test_head_is_accepted_as_get_and_other_methods_are_not() -> None:
    """The route that is judged is the one that has to accept the form."""
    assert place("/files/a%2fb", "HEAD").route == FILE
    assert place("/files/a%2fb", "PUT") == REFUSED


@many
@given(
    st.lists(st.sampled_from(["%2f", "%2F", ";", "%3b", "/", ".", "..", "a", "%2e", "\\", "%00", "~", "é"]), max_size=8)
)
def test_with_the_forms_aside_every_reading_is_plain(bits: list[str]) -> None:
    """What is read with forms has plain readings only, and what has none of them is not read here at all."""
    target = "/files/" + "".join(bits)
    path = read_formed(target)
    if path is not None:
        assert path.forms
        assert split_path(target) is None
        for reading in path.readings:
            assert not {"", ".", ".."} & set(reading[:-1])
            assert reading[-1] not in (".", "..")
            assert not any(set(segment) & set("/\\;") for segment in reading)
