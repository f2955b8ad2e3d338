"""Room on the disk of the ledger: how much is left, how long it lasts, and a reserve for the last records."""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from authz.audit.files import Files

BALLAST_NAME: Final = "ballast"
BALLAST_BYTES: Final = 16 << 20

_DAY_SECONDS: Final = 86_400.0


class Ballast:
    """A file of a stated size that only takes up room, to be given free when the disk is full.

    Then what ends a ledger in order still fits: the gap, the shutdown, the segment's closing record.
    """

    def __init__(self, directory: Path, size_bytes: int, files: Files) -> None:
        self._path = directory / BALLAST_NAME
        self._size_bytes = size_bytes
        self._files = files

    def keep(self) -> str | None:
        """Have the file, if there is room for twice as much; None, or why there is none. Its lack fails nothing."""
        if not self._size_bytes:
            return None
        try:
            if self._path.exists():
                return None
            if self._files.free_bytes(self._path.parent) < 2 * self._size_bytes:
                return "there is no room for the ballast"
            self._make()
        except OSError as error:
            with suppress(OSError):
                self._path.unlink()
            return str(error)
        return None

    def give_free(self) -> None:
        """Let the disk have its bytes. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def _make(self) -> None:
        fd = self._files.create(self._path)
        try:
            self._files.allocate(fd, self._size_bytes)
        finally:
            os.close(fd)


class WriteRate:
    """How fast the ledger grew of late, from its total at several times.

    It looks back one day at most, so that a night does not promise what the next morning cannot keep.
    """

    LOOK_BACK_SECONDS: Final = _DAY_SECONDS
    SAMPLE_SECONDS: Final = 300.0
    LEAST_SECONDS: Final = 60.0

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def bytes_per_second(self, at_seconds: float, total_bytes: int) -> float | None:
        """The rate now that the total is this; None while less than a minute was seen. Times never go back."""
        samples = self._samples
        if not samples or at_seconds - samples[-1][0] >= self.SAMPLE_SECONDS:
            samples.append((at_seconds, total_bytes))
        while len(samples) > 1 and at_seconds - samples[1][0] >= self.LOOK_BACK_SECONDS:
            samples.popleft()
        since, before = samples[0]
        if at_seconds - since < self.LEAST_SECONDS:
            return None
        return (total_bytes - before) / (at_seconds - since)


def days_left(free: int, bytes_per_second: float | None) -> float:
    """How long the room lasts at this rate; infinite at rest, NaN while the rate is not known."""
    if bytes_per_second is None:
        return float("nan")
    return free / bytes_per_second / _DAY_SECONDS if bytes_per_second > 0 else float("inf")
