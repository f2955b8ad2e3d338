"""The record of a prune: read back as it was written, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.prune_record import Pruned, PrunedSegment, pruned, read_pruned
from authz.audit.record import Chain
from authz.audit.segment import ledger_event
from authz.tlog import CompactRange, leaf_hash
from tests.properties import many

from .ledger import SystemClock, event

SEGMENT = PrunedSegment("000000000001.jsonl", 700, "a" * 64)


def tree(size: int) -> CompactRange:
    found = CompactRange()
    found.extend([leaf_hash(b"%d" % number) for number in range(size)])
    return found


def body(size: int) -> Pruned:
    return pruned("main", tree(size), b"b" * 64, (SEGMENT,), archive_sha256="c" * 64, reason="asked for")


def line(size: int) -> bytes:
    return Chain(SystemClock()).append(ledger_event("audit.prune", body(size)))


@given(size=st.integers(0, 600))
@many
def test_the_tree_goes_on_from_the_record(size: int) -> None:
    """What is read back has the root of all that was dropped, and grows like it."""
    found = read_pruned(line(size))
    assert found == body(size)
    assert found is not None
    grown = found.tree()
    grown.extend([leaf_hash(b"%d" % number) for number in range(size, size + 5)])
    assert grown.root() == tree(size + 5).root()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"minimum_index":3', b'"minimum_index":4'),
        (b'"minimum_index":3', b'"minimum_index":-3'),
        (b'"minimum_index":3', b'"minimum_index":"3"'),
        (b"=", b""),
        (b'"chain_hash":"bb', b'"chain_hash":"b'),
        (b'"chain_hash":"bb', b'"chain_hash":"BB'),
        (b'"name":"000', b'"name":"../'),
        (b'"stream":"main",', b""),
        (b"}", b""),
    ],
)
def test_a_record_that_says_what_cannot_be_is_refused(old: bytes, new: bytes) -> None:
    """Always with the same error."""
    assert old in line(3)
    with pytest.raises(ValueError):
        read_pruned(line(3).replace(old, new))


def test_another_record_is_none() -> None:
    """What is no record at all is refused."""
    assert read_pruned(Chain(SystemClock()).append(event("e"))) is None
    for other in (b"", b"[]", b"\xff" * 90):
        with pytest.raises(ValueError):
            read_pruned(other)
