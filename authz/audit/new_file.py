"""Files that are whole or not there: written under another name, made durable, read back, and only then named."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from authz.audit.device import read_back
from authz.audit.files import Files
from authz.audit.frames import DamagedFileError
from authz.audit.segment import SEALED_MODE

PART: Final = ".part"
"""What a file is called until it is whole. One that is found was left by a crash and is nobody's."""


def write_new_file(
    path: Path, pieces: Iterable[bytes], files: Files, check: Callable[[Path], None] | None = None
) -> str:
    """Put a file in place, for reading only; returns the SHA-256 of its bytes, in hex.

    Its bytes are on the device when this returns, and were read back from there; its name is once the caller has synced
    the directory. `check` is called with the path of the finished bytes before they get their name and may raise.
    Nothing else may be writing `path`, and what is there already stays: FileExistsError. Raises OSError; then the name
    is still free.
    """
    if path.exists():
        raise FileExistsError(None, "is there already", str(path))
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    try:
        digest = _write(part, pieces, files)
        _read_back(part, digest)
        if check is not None:
            check(part)
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return digest


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes as they are on the device, in hex. The file is in memory meanwhile."""
    return hashlib.sha256(read_back(path).data).hexdigest()


def digest_of(file: BinaryIO) -> str:
    """SHA-256 of what is left to read, in hex."""
    digest = hashlib.sha256()
    for block in blocks(file):
        digest.update(block)
    return digest.hexdigest()


def blocks(file: BinaryIO, size_bytes: int = 1 << 20) -> Iterator[bytes]:
    """What is left to read, in pieces."""
    while block := file.read(size_bytes):
        yield block


def _read_back(path: Path, digest: str) -> None:
    if file_digest(path) != digest:
        raise DamagedFileError(None, "reads back other bytes than were written", str(path))


def _write(path: Path, pieces: Iterable[bytes], files: Files) -> str:
    digest = hashlib.sha256()
    fd = files.create(path)
    try:
        for piece in pieces:
            digest.update(piece)
            _write_all(fd, piece, files)
        os.fchmod(fd, SEALED_MODE)
        files.fdatasync(fd)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _write_all(fd: int, data: bytes, files: Files) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[files.write(fd, rest) :]
