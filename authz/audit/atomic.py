"""Small files that others read while they are replaced: the old content or the new, never a part of either."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Shelf:
    """Where the auditor puts files. Tests stand in here to fail or to kill at each step.

    The names in between begin with a dot and are the same each time, so that a crash leaves at most one behind: there
    is one auditor. Every method raises OSError.
    """

    def replace(self, path: Path, data: bytes) -> None:
        """The file holds `data` when this returns, after power loss too."""
        self.put(path, data, durable=True)
        self.sync_directory(path.parent)

    def put(self, path: Path, data: bytes, *, durable: bool) -> None:
        """The file holds `data`; if `durable`, its content is on the device under whatever name the directory has."""
        if durable:
            self.put_all({path: data})
            return
        draft, fd = self._draft(path, data)
        os.close(fd)
        draft.replace(path)

    def put_all(self, files: Mapping[Path, bytes]) -> None:
        """Each of them durable as with `put`. All are written first: to wait for one is then to wait for most."""
        drafts: list[tuple[Path, int]] = []
        try:
            for path, data in files.items():
                drafts.append(self._draft(path, data))
            for _, fd in drafts:
                os.fsync(fd)
        finally:
            for _, fd in drafts:
                os.close(fd)
        for (draft, _), path in zip(drafts, files, strict=True):
            draft.replace(path)

    def make_directory(self, path: Path, *, durable: bool) -> None:
        """The directory, and those above it, for their owner only."""
        missing = [each for each in (path, *path.parents) if not each.is_dir()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
            if durable:
                self.sync_directory(each.parent)

    def remove_directory(self, path: Path) -> None:
        """The directory and the files in it, if it is there."""
        with suppress(FileNotFoundError):
            for each in list(path.iterdir()):
                each.unlink(missing_ok=True)
            path.rmdir()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the device."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _draft(self, path: Path, data: bytes) -> tuple[Path, int]:
        draft = path.with_name(f".{path.name}.new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._write(fd, data)
        except BaseException:
            os.close(fd)
            raise
        return draft, fd

    def _write(self, fd: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
