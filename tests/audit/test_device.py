"""Reading past the page cache."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.device import BLOCK_BYTES, read_back
from tests.properties import many

SIZES = st.one_of(
    st.integers(0, 5000),
    st.integers(-2, 2).map(lambda off: BLOCK_BYTES + off),
    st.integers(-4097, 4097).map(lambda off: 2 * BLOCK_BYTES + off),
)
PATTERN = bytes(range(251)) * (3 * BLOCK_BYTES // 251)


@many
@given(SIZES, SIZES)
def test_a_direct_read_is_the_rest_of_the_file(tmp_path_factory: pytest.TempPathFactory, size: int, start: int) -> None:
    """From any byte, also one behind the end, whatever blocks the device has."""
    path = tmp_path_factory.getbasetemp() / "read"
    path.write_bytes(PATTERN[:size])
    assert read_back(path, start).data == PATTERN[start:size]


def test_fewer_bytes_than_the_file_holds_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that stops in the middle has not been read."""
    path = tmp_path / "read"
    path.write_bytes(PATTERN[:10_000])
    monkeypatch.setattr("os.preadv", lambda fd, buffers, at: 100)
    with pytest.raises(OSError, match="fewer bytes"):
        read_back(path)
