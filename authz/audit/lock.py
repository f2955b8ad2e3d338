"""One process per stream: an advisory lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from pathlib import Path

from authz.core import AuditUnavailableError

LOCK_NAME = "lock"


class StreamLock:
    """The right to write to one stream, held until `release`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, directory: Path) -> "StreamLock":
        """Take the lock of the stream in `directory`. Raises AuditUnavailableError when another writer holds it."""
        fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise AuditUnavailableError(
                f"The audit stream {directory.name!r} is being written by another process (pid {holder}). "
                "Stop it, or give this one a stream or a state directory of its own."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return cls(fd)

    def release(self) -> None:
        """Give the stream free. Also right after a fork: it drops the child's share of the lock only."""
        os.close(self._fd)
