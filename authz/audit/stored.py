"""How a segment lies on disk: raw while it is young, compressed later. Everything that reads one comes through here.

    <first_seq>.jsonl           raw
    <first_seq>.jsonl.zst       the same bytes, compressed

Where both are there, a crash has left them or the compression is at its last step: they hold the same and the raw one
is read. At no moment is there neither.
"""

import os
from pathlib import Path
from typing import BinaryIO, Final

from authz.audit.frames import open_compressed

SUFFIX: Final = ".zst"

_BUFFER_BYTES: Final = 1 << 20


def compressed_path(path: Path) -> Path:
    """Where the compressed form of a segment lies."""
    return path.with_name(path.name + SUFFIX)


def open_segment(path: Path, buffer_bytes: int = _BUFFER_BYTES) -> BinaryIO:
    """The uncompressed bytes of a segment, named as if it were raw, to read and to seek in.

    Raises OSError, here and while it is read; FileNotFoundError when there is neither form.
    """
    try:
        return path.open("rb", buffering=buffer_bytes)
    except FileNotFoundError:
        if not compressed_path(path).exists():
            raise
    return open_compressed(compressed_path(path))


def is_stored(path: Path) -> bool:
    """Whether a segment is there, in either form."""
    return path.exists() or compressed_path(path).exists()


def segment_bytes(path: Path) -> int:
    """The uncompressed size of a segment. Raises OSError as `open_segment` does."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        with open_segment(path) as file:
            return file.seek(0, os.SEEK_END)


def stored_bytes(path: Path) -> int:
    """What the segment takes on disk, in the form that is read. Raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return compressed_path(path).stat().st_size
