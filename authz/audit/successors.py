"""Which stream is in force where one went on after another: `worker-0`, then `worker-0.1`, `worker-0.2`."""

import re
from pathlib import Path
from typing import Final

from authz.audit.segment import segment_names

_NUMBERED: Final = re.compile(r"(.+)\.([1-9][0-9]{0,5})")


def successors(audit: Path, stream: str) -> list[str]:
    """The streams that were begun after `stream`, oldest first; one without a segment is not one. Raises OSError."""
    found = []
    for child in audit.iterdir() if audit.is_dir() else ():
        name = _NUMBERED.fullmatch(child.name)
        if name is not None and name[1] == stream and child.is_dir() and segment_names(child):
            found.append(int(name[2]))
    return [numbered(stream, number) for number in sorted(found)]


def newest_successor(audit: Path, stream: str) -> str:
    """The stream in force where `stream` is asked for: the last one that was begun after it, or itself. OSError."""
    return (successors(audit, stream) or [stream])[-1]


def numbered(stream: str, number: int) -> str:
    """The name of a stream's successor; of itself for 0."""
    return f"{stream}.{number}" if number else stream


def split_number(stream: str) -> tuple[str, int]:
    """A name as base and number: `worker-0.2` is `worker-0` and 2, `worker-0` is itself and 0."""
    found = _NUMBERED.fullmatch(stream)
    return (found[1], int(found[2])) if found else (stream, 0)
