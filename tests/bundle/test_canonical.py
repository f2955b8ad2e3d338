"""The form in which structured files are hashed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.bundle.strict_json import NotStrictError, canonical, read_strict
from tests.properties import many

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@many
@given(DOCUMENTS)
def test_spelling_makes_no_difference(document: Any) -> None:
    """Spaces, escapes and the order of keys do not change the form, and it is stable."""
    plain = canonical(json.dumps(document, indent=3, ensure_ascii=True).encode())
    turned = dict(reversed(document.items())) if isinstance(document, dict) else document

    assert plain == canonical(json.dumps(turned, ensure_ascii=False).encode()) == canonical(plain)
    assert json.loads(plain) == document


@many
@given(DOCUMENTS, st.sampled_from(["1.50", "-0", "1E5", "0.0"]))
def test_numbers_stay_as_they_were_written(document: Any, number: str) -> None:
    """The slow way, taken for unusual numbers, spells all else as the fast one does."""
    text = json.dumps({"d": document}, ensure_ascii=False).encode()
    with_number = text[:-1] + b', "n": ' + number.encode() + b"}"

    assert canonical(with_number) == canonical(text)[:-1] + b',"n":' + number.encode() + b"}"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"NaN", b"[Infinity]", b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b"\xff", b'"\\ud800"', b"[" * 100_000],
)
def test_what_two_readers_could_read_differently_is_refused(text: bytes) -> None:
    """Not JSON, not UTF-8, keys twice, lone surrogates, endless nesting."""
    with pytest.raises(NotStrictError):
        read_strict(text)
    with pytest.raises(NotStrictError):
        canonical(text)
