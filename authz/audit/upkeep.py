"""One at a time: compression, archive and prune change which files a ledger consists of, and never together."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from authz.core import AuthzError

LOCK_NAME: Final = "upkeep.lock"

_POLL_SECONDS: Final = 0.05


class UpkeepBusyError(AuthzError):
    """Another compression, archive or prune of the same ledger is running."""

    code = "audit_busy"


@contextmanager
def upkeep(audit: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the right to change which files the ledger in `audit` consists of. The kernel drops it with its holder.

    Raises UpkeepBusyError when it is not free within `wait_seconds`, OSError.
    """
    fd = os.open(audit / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(fd, audit, time.monotonic() + wait_seconds)
        yield
    finally:
        os.close(fd)


def _take(fd: int, audit: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise UpkeepBusyError(
                    f"{audit}: another compression, archive or prune is running; try again when it is done"
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
