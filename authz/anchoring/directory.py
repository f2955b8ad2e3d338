"""An anchor that is a directory: another disk, a share of another team, a WORM file system.

<directory>/<origin, percent-encoded>/<size>     one checkpoint, for reading only
<directory>/<origin, percent-encoded>/latest     a copy of the one of the largest size
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from authz.anchoring.errors import HistoryError, OutwardError
from authz.anchoring.places import check_same, escaped, read_kept
from authz.anchoring.published import Published

KEEP_SECONDS: Final = 10.0

_MAX_BYTES: Final = 64 * 1024
_NO_LINKS: Final = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))


class DirectoryAnchor:
    """Keeps checkpoints under a directory. That has to exist: a share that is not mounted must not look like one."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._directory = directory
        self._busy = threading.Lock()

    async def keep(self, published: Published) -> None:
        """See Anchor. Also checks that the latest checkpoint there is a beginning of this one."""
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await _aside(lambda: self._keep(published))
        except TimeoutError:
            raise OutwardError(f"the directory does not answer within {KEEP_SECONDS:.0f} seconds") from None

    def _keep(self, published: Published) -> None:
        if not self._busy.acquire(blocking=False):
            raise OutwardError("the directory still does not answer")
        try:
            self._write(published)
        except OSError as error:
            raise OutwardError(f"{error.filename or self._directory}: {error.strerror or error}") from None
        finally:
            self._busy.release()

    def _write(self, published: Published) -> None:
        place = self._directory / escaped(published.checkpoint.origin)
        with suppress(FileExistsError):
            place.mkdir()
            _sync(self._directory)
        target = place / f"{published.checkpoint.size}"
        draft = place / ".new"
        _write_draft(draft, published.note)
        if not _named(draft, target, published.note):
            check_same(_read(target), published, target)
        _sync(place)
        latest = place / "latest"
        if _is_newer(latest, published):
            _write_draft(draft, published.note)
            draft.replace(latest)
            _sync(place)


def _is_newer(latest: Path, published: Published) -> bool:
    """Whether `latest` is to be replaced. Raises HistoryError when it is no beginning of this checkpoint."""
    try:
        held = read_kept(_read(latest), latest)
    except FileNotFoundError:
        return True
    size = published.checkpoint.size
    if held.size > size:
        raise HistoryError(f"{latest} is of {held.size} records; here are {size}: this ledger was put back or cut off")
    if published.root_at(held.size) != held.root:
        raise HistoryError(f"{latest} is of {held.size} records that are not the beginning of these {size}")
    return held.size < size


def _write_draft(path: Path, note: bytes) -> None:
    path.unlink(missing_ok=True)
    _write_new(path, note)


def _named(draft: Path, target: Path, note: bytes) -> bool:
    """Give the draft its name; False if that is taken. Never replaces anything."""
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _write_new(target, note)
        except FileExistsError:
            return False
    finally:
        draft.unlink()
    return True


def _write_new(path: Path, note: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        rest = memoryview(note)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


async def _aside(call: Callable[[], None]) -> None:
    """Run a call that may never return, as one on a dead share may not, where it holds up neither anybody nor the end.

    A pool's threads are waited for when the process ends, and there are only so many of them.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            call()
        except Exception as raised:  # noqa: BLE001 - handed to whoever waits, as it is
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="anchor", daemon=True).start()
    await done
