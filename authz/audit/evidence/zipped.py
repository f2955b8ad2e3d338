"""A directory as a zip whose bytes depend on names and contents only: no times, no compressor, one order."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Final

_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_PLAIN_FILE: Final = 0o100644 << 16
_ZIP64_BYTES: Final = 1 << 31


def zip_directory(directory: Path, path: Path) -> None:
    """Write the files under `directory` to a zip for its owner only; on the device when this returns. Raises OSError.

    Nothing is compressed: what a compressor makes of the same bytes depends on its version.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in files_in(directory):
                _add(archive, directory / name, name)
        file.flush()
        os.fsync(fd)


def files_in(directory: Path) -> list[str]:
    """The names of all files under a directory, relative to it, in their order."""
    return sorted(each.relative_to(directory).as_posix() for each in directory.rglob("*") if each.is_file())


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = _UNIX
    entry.external_attr = _PLAIN_FILE
    size = path.stat().st_size
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=size >= _ZIP64_BYTES) as member:
        shutil.copyfileobj(source, member, 1 << 20)
