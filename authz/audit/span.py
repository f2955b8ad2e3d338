"""A part of a segment as it is on the device: what the auditor hashes, it has read past the page cache."""

import errno
import mmap
import os
from pathlib import Path
from typing import Final

from authz.audit.stored import open_segment

_BLOCK: Final = 4096
"""Alignment that O_DIRECT asks for, on every device that is in use."""

_BUFFER_BYTES: Final = 1 << 20
_REFUSED: Final = frozenset((errno.EINVAL, errno.EOPNOTSUPP))


class SpanReader:
    """Reads spans of files through one buffer. `past_cache`: the last read came from the device.

    Where a file system refuses O_DIRECT the cache is asked to let go of the file first, which it may do or not.
    """

    def __init__(self) -> None:
        self.past_cache = True
        self._buffer = mmap.mmap(-1, _BUFFER_BYTES)  # anonymous: it begins at a page, as O_DIRECT wants it

    def read(self, path: Path, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of a segment, fewer where it ends before. Raises OSError.

        A raw file is made durable first, so that what is read is not lost later. A compressed one was before it got
        its name, and is read through the cache: its frames carry checksums.
        """
        try:
            self._sync(path)
            return self._read(path, start, end)
        except FileNotFoundError:
            with open_segment(path) as file:
                file.seek(start)
                return file.read(end - start)

    def close(self) -> None:
        """Let go of the buffer."""
        self._buffer.close()

    def _sync(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def _read(self, path: Path, start: int, end: int) -> bytes:
        try:
            data = self._direct(path, start, end)
            self.past_cache = True
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            data = self._buffered(path, start, end)
            self.past_cache = False
        return data

    def _direct(self, path: Path, start: int, end: int) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            at, skip = start - start % _BLOCK, start % _BLOCK
            taken = []
            while at + skip < end:
                wanted = min(_BUFFER_BYTES, -(-(end - at) // _BLOCK) * _BLOCK)
                length = os.preadv(fd, [memoryview(self._buffer)[:wanted]], at)
                taken.append(self._buffer[skip : min(length, end - at)])
                if length < wanted:
                    break
                at, skip = at + length, 0
            return b"".join(taken)
        finally:
            os.close(fd)

    def _buffered(self, path: Path, start: int, end: int) -> bytes:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(start)
            parts = []
            while start < end and (part := file.read(end - start)):
                parts.append(part)
                start += len(part)
            return b"".join(parts)
