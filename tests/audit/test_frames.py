"""Compressed files that can be read from anywhere."""

import io
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.frames import FRAME_BYTES, DamagedFileError, blocks_of, compressed, open_compressed
from tests.conftest import missing
from tests.properties import many

LINES = b"".join(b'{"prev":"%064d","seq":%d}\n' % (number * 7919, number) for number in range(5_000))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(b"".join(compressed(blocks_of(io.BytesIO(data)))))
    return path


@given(data=st.one_of(st.binary(max_size=300), st.integers(0, 3 * FRAME_BYTES).map(lambda size: (LINES * 2)[:size])))
@many
def test_what_was_compressed_is_read_back(data: bytes) -> None:
    """Every byte of it, whatever it was."""
    with TemporaryDirectory() as directory, open_compressed(write(Path(directory) / "a.zst", data)) as file:
        assert file.read() == data


@given(places=st.lists(st.tuples(st.integers(0, len(LINES) + 10), st.integers(0, FRAME_BYTES * 2)), max_size=5))
@many
def test_it_is_read_from_anywhere(places: list[tuple[int, int]]) -> None:
    """In any order, within and across frames, past the end too."""
    with TemporaryDirectory() as directory, open_compressed(write(Path(directory) / "a.zst", LINES)) as file:
        for offset, count in places:
            assert file.seek(offset) == offset
            assert file.read(count) == LINES[offset : offset + count]
        assert file.seek(0, io.SEEK_END) == len(LINES)
        assert file.seek(-5, io.SEEK_CUR) == len(LINES) - 5
        assert file.read() == LINES[-5:]


def test_anybodys_zstd_reads_it(tmp_path: Path) -> None:
    """The format is the published one: no tool of ours is needed to get at the records."""
    path = write(tmp_path / "a.zst", LINES)
    with path.open("rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read() == LINES
    tool = shutil.which("zstd")
    if tool is None:
        missing("zstd")
    assert subprocess.run([tool, "-dc", path], stdout=subprocess.PIPE, check=True).stdout == LINES


def test_the_first_line_is_a_frame_of_its_own(tmp_path: Path) -> None:
    """It is what every listing of a stream reads."""
    blocks = list(blocks_of(io.BytesIO(LINES)))
    assert blocks[0] == LINES[: LINES.index(b"\n") + 1]
    assert {len(block) for block in blocks[1:-1]} == {FRAME_BYTES}


@pytest.mark.parametrize("cut", [1, 9, 40, 2_000])
def test_a_cut_file_is_damaged(tmp_path: Path, cut: int) -> None:
    """Wherever it was cut."""
    path = write(tmp_path / "a.zst", LINES)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DamagedFileError):
        open_compressed(path)


def test_no_changed_byte_is_read_as_something_else(tmp_path: Path) -> None:
    """Changing any one byte of a small file gives the same content, or DamagedFileError; never other content."""
    good = write(tmp_path / "a.zst", LINES[:700]).read_bytes()
    path = tmp_path / "b.zst"
    refused = 0
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        try:
            with open_compressed(path) as file:
                assert file.read() == LINES[:700]
        except DamagedFileError:
            refused += 1
    assert refused >= len(good) - 4


@given(junk=st.binary(max_size=200))
@many
def test_any_other_file_is_damaged(junk: bytes) -> None:
    """Not a crash, not an empty segment."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.zst"
        path.write_bytes(junk)
        with pytest.raises(DamagedFileError):
            open_compressed(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A frame that says it holds a gigabyte is refused before any of it is made."""
    path = tmp_path / "a.zst"
    frame = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    path.write_bytes(b"".join(compressed([b"x" * 100])))
    good = path.read_bytes()
    table = bytearray(good[-(8 + 8 + 9) :])
    table[8:12] = len(frame).to_bytes(4, "little")
    path.write_bytes(frame + table)
    with open_compressed(path) as file, pytest.raises(DamagedFileError, match="does not hold what its table says"):
        file.read()
