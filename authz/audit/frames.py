"""Compressed files that can be read from anywhere: Zstandard's seekable format, which `zstd -d` reads as well.

    frame ... frame | skippable frame: 0x184D2A5E, length, (compressed, decompressed) sizes, count, 0, 0x8F92EAB1

https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md, without the
optional checksums of the table: each frame carries its own.
"""

import io
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from struct import Struct, error, unpack
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FRAME_BYTES: Final = 64 * 1024
"""Of uncompressed data in a frame: as small as costs no space, so that one record is cheap to reach."""

_LEVEL: Final = 1
_MOST_FRAME_BYTES: Final = 1 << 20
_SKIPPABLE: Final = 0x184D2A5E
_SEEKABLE: Final = 0x8F92EAB1
_HEAD: Final = Struct("<II")
_ENTRY: Final = Struct("<II")
_FOOT: Final = Struct("<IBI")


class DamagedFileError(OSError):
    """A compressed file that is not what was written: cut, altered, or of another making."""


def compressed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The compressed file of these blocks, piece by piece; each block is at most FRAME_BYTES and becomes a frame."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    table: list[bytes] = []
    for block in blocks:
        frame = compressor.compress(block)
        table.append(_ENTRY.pack(len(frame), len(block)))
        yield frame
    size = len(table) * _ENTRY.size + _FOOT.size
    yield b"".join((_HEAD.pack(_SKIPPABLE, size), *table, _FOOT.pack(len(table), 0, _SEEKABLE)))


def blocks_of(file: BinaryIO) -> Iterator[bytes]:
    """A file's bytes in blocks for `compressed`. The first one is its first line, which is read most often."""
    block = file.readline(FRAME_BYTES)
    while block:
        yield block
        block = file.read(FRAME_BYTES)


def open_compressed(path: Path) -> BinaryIO:
    """The uncompressed bytes of the file, to read and to seek in. Raises OSError, here and while it is read."""
    file = path.open("rb", buffering=0)
    try:
        return cast("BinaryIO", io.BufferedReader(_Frames(file), FRAME_BYTES))
    except OSError:
        file.close()
        raise


class _Frames(io.RawIOBase):
    """One frame at a time is in memory, and no more of the file than its table says is believed."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        stored, plain = _table(file)
        self._stored = [0, *accumulate(stored)]
        self._plain = [0, *accumulate(plain)]
        self._at = 0
        self._frame = -1
        self._data = b""
        self._decompressor = zstandard.ZstdDecompressor()

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def seekable(self) -> bool:
        """See io.IOBase."""
        return True

    def fileno(self) -> int:
        """See io.IOBase: of the compressed file."""
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See io.IOBase."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._plain[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """See io.RawIOBase. Raises OSError, DamagedFileError among them."""
        if self._at >= self._plain[-1]:
            return 0
        frame = bisect_right(self._plain, self._at) - 1
        if frame != self._frame:
            self._data, self._frame = self._read(frame), frame
        start = self._at - self._plain[frame]
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._data) - start)
        view[:count] = self._data[start : start + count]
        self._at += count
        return count

    def _read(self, frame: int) -> bytes:
        size = self._stored[frame + 1] - self._stored[frame]
        plain = self._plain[frame + 1] - self._plain[frame]
        stored = os.pread(self._file.fileno(), size, self._stored[frame])
        try:
            if zstandard.get_frame_parameters(stored).content_size == plain:
                return self._decompressor.decompress(stored, allow_extra_data=False)
        except zstandard.ZstdError as failure:
            raise _damaged(self._file, f"frame {frame}: {failure}") from None
        raise _damaged(self._file, f"frame {frame} does not hold what its table says")

    def close(self) -> None:
        """See io.IOBase."""
        self._file.close()
        super().close()


def _table(file: io.FileIO) -> tuple[Sequence[int], Sequence[int]]:
    """Compressed and uncompressed sizes of the frames. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    try:
        count, flags, magic = _FOOT.unpack(os.pread(file.fileno(), _FOOT.size, max(0, size - _FOOT.size)))
        length = count * _ENTRY.size + _FOOT.size
        start = size - length - _HEAD.size
        if (flags, magic) != (0, _SEEKABLE) or start < 0:
            raise _damaged(file, "it does not end with a table of frames")
        head, *sizes = unpack(f"<Q{2 * count}I", os.pread(file.fileno(), _HEAD.size + count * _ENTRY.size, start))
    except error:
        raise _damaged(file, "it is cut short") from None
    stored, plain = sizes[::2], sizes[1::2]
    if head != length << 32 | _SKIPPABLE or sum(stored) != start:
        raise _damaged(file, "its table does not fit its frames")
    if count and (not all(stored) or not all(plain) or max(plain) > _MOST_FRAME_BYTES):
        raise _damaged(file, "its table holds sizes that cannot be")
    return stored, plain


def _damaged(file: io.FileIO, what: str) -> DamagedFileError:
    return DamagedFileError(None, what, str(file.name))
