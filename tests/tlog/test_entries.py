"""Entry bundles: the entries themselves, in the form of C2SP's tlog-tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import MAX_ENTRY_BYTES, MalformedError, entry_bundle, read_entry_bundle
from tests.properties import many


def test_a_bundle() -> None:
    """Two bytes of length, big-endian, then the entry, without LF."""
    assert entry_bundle([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258


@many
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_every_bundle_comes_back(entries: list[bytes]) -> None:
    """Whatever the entries hold."""
    assert read_entry_bundle(entry_bundle(entries)) == entries


def test_the_longest_entry_fits() -> None:
    """65,535 bytes, and not one more."""
    assert read_entry_bundle(entry_bundle([b"x" * MAX_ENTRY_BYTES])) == [b"x" * 65_535]
    with pytest.raises(MalformedError, match="an entry of 65536 bytes, more than 65535"):
        entry_bundle([b"", b"x" * (MAX_ENTRY_BYTES + 1)])


@pytest.mark.parametrize("count", [0, 257, 1000])
def test_a_bundle_holds_1_to_256_entries(count: int) -> None:
    """Written and read."""
    with pytest.raises(MalformedError, match=f"{count} entries, not 1 to 256"):
        entry_bundle([b""] * count)
    with pytest.raises(MalformedError, match=f"{count} entries, not 1 to 256"):
        read_entry_bundle(b"\x00\x00" * count)


def test_a_bundle_that_is_cut_is_refused() -> None:
    """Wherever it is cut, unless between two entries."""
    whole = entry_bundle([b"abc", b"", b"de"])
    for at in range(1, len(whole)):
        if at in {5, 7}:
            assert read_entry_bundle(whole[:at]) == [b"abc", b""][: 1 + (at > 5)]
            continue
        with pytest.raises(MalformedError, match="entry bundle: cut in entry"):
            read_entry_bundle(whole[:at])
