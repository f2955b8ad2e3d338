"""Reading what callers report: any input is an event or a refusal, and what is written down fits a record."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from authz.core import (
    EVENT_TYPES,
    REFUSED_EVENTS,
    Caller,
    Catalogue,
    PolicyDecision,
    Refused,
    Reported,
    account_of_reported,
    place_of_reported,
    read_reported,
    reported_head,
)
from tests.conftest import ROOT
from tests.fakes import FakePolicy, FakePseudonyms
from tests.properties import many

_POLICY = FakePolicy(PolicyDecision(allow=False, reason="scope_missing", scopes=()), Catalogue(scopes=(), roles=()))
_REPORTABLE = sorted(name for name, row in EVENT_TYPES.items() if row.reportable)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_events = st.fixed_dictionaries(
    {"id": st.text(min_size=1), "type": st.sampled_from([*EVENT_TYPES, "x"])},
    optional={name: _values for name in Reported.__struct_fields__ if name not in ("id", "type")},
)


@many
@given(st.binary() | _values.map(msgspec.json.encode) | _events.map(msgspec.json.encode))
def test_nothing_that_is_sent_raises(sent: bytes) -> None:
    """Every input is an event of a reportable type or a refusal with a documented code."""
    read = read_reported(sent)

    reported_head(sent)
    if isinstance(read, Refused):
        assert read.code in REFUSED_EVENTS
        assert msgspec.json.encode(read)
    else:
        assert EVENT_TYPES[read.type].reportable


@many
@given(
    st.sampled_from(_REPORTABLE),
    st.text(min_size=1, max_size=64),
    st.text(min_size=1, max_size=200).map(lambda text: f"/{text}"),
)
def test_what_is_written_down_has_what_its_type_requires(event_type: str, name: str, route: str) -> None:
    """An event that is accepted makes a body with every required field, its source, and none of its clear names."""
    sent: dict[str, Any] = {"id": "e", "type": event_type, "subject": f"user<{name}>", "session_id": f"session<{name}>"}
    read = read_reported(msgspec.json.encode({**sent, "route": route, "method": "GET", "status": 200}))

    assert isinstance(read, Reported)
    caller = Caller("gate")
    place = place_of_reported(read, caller, _POLICY)
    body = account_of_reported(read, caller, _POLICY, place, FakePseudonyms())
    assert body["source"] == "gate"
    assert set(EVENT_TYPES[event_type].required) <= body.keys()
    assert "user<" not in str(body)
    assert "session<" not in str(body)


def test_every_refusal_is_documented() -> None:
    """docs/reporting.md has a row for each code."""
    page = (ROOT / "docs" / "reporting.md").read_text()

    assert [code for code in REFUSED_EVENTS if f"| `{code}` |" not in page] == []


def test_every_field_is_documented() -> None:
    """docs/reporting.md names each field of an event."""
    page = (ROOT / "docs" / "reporting.md").read_text()

    assert [name for name in Reported.__struct_fields__ if f"`{name}`" not in page] == []
