"""Wait for files to change. They are looked at twice a second: a policy is a few dozen files, on any file system."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_PAUSE_SECONDS: Final = 0.5

_Look = dict[Path, tuple[int, int, int]]


def changed(places: Iterable[Path]) -> Iterator[None]:
    """Yield at once, and then after each change of a file at one of these places or below it, without end."""
    watched = tuple(places)
    seen: _Look | None = None
    while True:
        found = _look(watched)
        if found != seen:
            seen = found
            yield
        else:
            time.sleep(_PAUSE_SECONDS)


def _look(places: Iterable[Path]) -> _Look:
    files = (file for place in places for file in (place, *place.rglob("*")))
    return {file: stat for file in files if (stat := _stat(file)) is not None}


def _stat(file: Path) -> tuple[int, int, int] | None:
    """None for what is no file, or was removed meanwhile."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if file.is_file() else None
