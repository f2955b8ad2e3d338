"""Reading what is on the device, not what the page cache says is there.

After a failed fdatasync Linux keeps the lost page in its cache and calls it clean: an ordinary read shows bytes that
the device never got. A read with O_DIRECT goes past the cache.
"""

import errno
import mmap
import os
from pathlib import Path
from typing import Final, NamedTuple

BLOCK_BYTES: Final = 1 << 20
"""Read at a time: a multiple of the alignment that any device asks for."""

_REFUSED: Final = frozenset((errno.EINVAL, errno.EOPNOTSUPP))


class ReadBack(NamedTuple):
    """Bytes of a file. `past_cache`: they come from the device; False where its file system refuses O_DIRECT."""

    data: bytes
    past_cache: bool


def read_back(path: Path, start: int = 0) -> ReadBack:
    """The file from byte `start` to its end, as it is on the device. Raises OSError.

    Where the file system cannot read past the cache (some in memory, some overlays) it is an ordinary read. There the
    caller must not rest on it after a failure.
    """
    try:
        return ReadBack(_read_direct(path, start), past_cache=True)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return ReadBack(file.read(), past_cache=False)


def _read_direct(path: Path, start: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, BLOCK_BYTES) as buffer:  # anonymous: it begins at a page, as O_DIRECT wants it
            return _blocks(fd, buffer, start)
    finally:
        os.close(fd)


def _blocks(fd: int, buffer: mmap.mmap, start: int) -> bytes:
    """From the block with `start` in it to the end: where a read gives nothing, or no whole number of pages."""
    size = os.fstat(fd).st_size
    skip = start % BLOCK_BYTES
    at, taken = start - skip, []
    while True:
        length = os.preadv(fd, [buffer], at)
        taken.append(buffer[skip:length])
        at, skip = at + length, max(0, skip - length)
        if length == 0 or length % mmap.PAGESIZE:
            break
    if at < size:
        raise OSError(errno.EIO, "the device gave fewer bytes than the file holds")
    return b"".join(taken)
