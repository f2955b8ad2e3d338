"""The durable mark: how far a stream is known to be on the device, for the auditor that reads beside the writer.

    <audit directory>/<stream>/durable       "<first seq of the segment> <bytes of it> <seq> <CRC-32>", one line

The writer overwrites it after each fdatasync that succeeded. Whatever stands past it is in doubt: it may be in the
page cache only, so nothing past it may be signed. The mark is not synced itself. It is written after what it speaks of
is on the device, so after a crash it can be too old and never too new.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from authz.audit.files import Files

MARK_NAME: Final = "durable"

_TEXT: Final = re.compile(rb"([0-9]{12}) ([0-9]{15}) ([0-9]{12}) ([0-9a-f]{8})\n")


class Mark(NamedTuple):
    """`size_bytes` of the segment that begins with record `first_seq`, up to record `seq`, are on the device.

    So is all that counts in the segments before it.
    """

    first_seq: int
    size_bytes: int
    seq: int


def read_mark(directory: Path) -> Mark | None:
    """The mark of the stream in `directory`; None while there is none that checks out: look again later.

    A reader may meet the writer in the middle of its overwriting, which the CRC shows. Raises OSError.
    """
    try:
        text = (directory / MARK_NAME).read_bytes()
    except FileNotFoundError:
        return None
    found = _TEXT.fullmatch(text)
    if found is None or crc32(text[:41]) != int(found[4], 16):
        return None
    return Mark(int(found[1]), int(found[2]), int(found[3]))


def mark_text(mark: Mark) -> bytes:
    """The line that stands in the file: always of the same length, so that overwriting leaves nothing behind."""
    body = b"%012d %015d %012d" % mark
    return b"%b %08x\n" % (body, crc32(body))


class MarkWriter:
    """Keeps the mark of one stream. It belongs to the thread that makes the records durable.

    A mark that cannot be written fails nothing: the records it speaks of are on the device, and to refuse them for it
    would turn a stale hint into an outage. An old mark is still true; it only keeps the auditor from signing more.
    `failure` says so, None when all is well.
    """

    def __init__(self, directory: Path, files: Files) -> None:
        self.failure: str | None = None
        self._path = directory / MARK_NAME
        self._files = files
        self._fd: int | None = None

    def write(self, mark: Mark) -> None:
        """Say that this much is on the device. After a failure the next call begins anew."""
        try:
            if self._fd is None:
                self._fd = self._files.open_mark(self._path)
            self._files.overwrite(self._fd, mark_text(mark))
            self.failure = None
        except OSError as error:
            self.failure = str(error)
            self.close()

    def close(self) -> None:
        """Let go of the file; it stays as it is."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)
