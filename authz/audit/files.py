"""The file operations the ledger's promises rest on, as a port: tests inject the failures of real disks here."""

import errno
import os
from pathlib import Path

from authz.audit.device import ReadBack, read_back


class Files:
    """The operating system's file operations. Every method raises OSError as the system does."""

    def create(self, path: Path) -> int:
        """A new file for appending, readable by its owner only; FileExistsError when the name is taken."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write what the system takes; returns how many bytes that was."""
        return os.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        """Return when the file's bytes and length are on the device.

        After an error the fd must never be used again: Linux reports a lost page once, and a second call returns
        success while the data is gone.
        """
        os.fdatasync(fd)

    def open_mark(self, path: Path) -> int:
        """A small file to be overwritten in place, made if there is none, for its owner only."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def overwrite(self, fd: int, data: bytes) -> None:
        """Put the data at the beginning of the file; it is not made durable."""
        if os.pwrite(fd, data, 0) != len(data):
            raise OSError(errno.EIO, "the system took only some of the bytes")

    def allocate(self, fd: int, size_bytes: int) -> None:
        """Take up so much of the disk."""
        os.posix_fallocate(fd, 0, size_bytes)

    def free_bytes(self, path: Path) -> int:
        """What this user may still write on the disk that holds `path`."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def read_back(self, path: Path) -> ReadBack:
        """The file as it is on the device, where the file system lets one see that."""
        return read_back(path)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the device."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
