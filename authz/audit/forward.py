"""Records in the order in which they were written, from a stated number on: what is exported.

Read from the segments and from nothing else, so that nothing an index leaves out is missing. Each record comes as the
very bytes that were written. Whether they are what was signed is for `verify` to say.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz.audit.durable import read_mark
from authz.audit.extent import Extent, extents, lines_forward
from authz.audit.filters import Filter, Pseudonyms, read_filter
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, stream_directories
from authz.audit.query import read_event
from authz.audit.segment import first_seq

_EVERYTHING: Final = 1 << 62


class Recorded(NamedTuple):
    """One record: its stream, its bytes without LF, and the same parsed."""

    stream: str
    line: bytes
    event: dict[str, Any]

    @property
    def seq(self) -> int:
        """Its number in the stream."""
        return int(self.event["seq"])


def records(
    path: Path | str | None = None,
    *,
    after: Mapping[str, int] | None = None,
    params: Mapping[str, str] | None = None,
    pseudonyms: Pseudonyms | None = None,
    progress: Callable[[int], None] = lambda _bytes: None,
    **filters: Any,
) -> Iterator[Recorded]:
    """The records that pass, stream after stream by name, each in its order.

    `path`, filters, `params` and `pseudonyms` as in `get_audit_events`. `after`: for each stream the number to go on
    behind. Only what is durable is given. `progress` is told how many bytes were read. Raises BadRequestError,
    LedgerUnreadableError, and LedgerDamagedError at a line that is no record.
    """
    wanted = read_filter(filters, params, pseudonyms)
    directories = stream_directories(path)
    return _records(directories, wanted, dict(after or {}), progress)


def _records(
    directories: list[Path], wanted: Filter, after: Mapping[str, int], progress: Callable[[int], None]
) -> Iterator[Recorded]:
    try:
        for directory in directories:
            yield from _stream(directory, wanted, after.get(directory.name, 0), progress)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


def _stream(directory: Path, wanted: Filter, after: int, progress: Callable[[int], None]) -> Iterator[Recorded]:
    mark = read_mark(directory)
    last = _EVERYTHING if mark is None else mark.seq
    found = extents(directory)
    for extent, following in zip(found, [*found[1:], None], strict=True):
        begun = extent.header.ts if extent.header is not None else ""
        over = following.header.ts if following is not None and following.header is not None else "~"
        behind = first_seq(following.path.name) if following is not None else _EVERYTHING
        if behind > after + 1 and begun < wanted.until and over > wanted.since:
            yield from _segment(directory.name, extent, wanted, after, last, progress)
        else:
            progress(extent.counted_bytes)


def _segment(
    stream: str, extent: Extent, wanted: Filter, after: int, last: int, progress: Callable[[int], None]
) -> Iterator[Recorded]:
    for line in lines_forward(extent.path, extent.counted_bytes):
        progress(len(line))
        if not line.endswith(b"\n"):
            return
        if not wanted.may_pass(line):
            continue
        event = read_event(line[:-1])
        if event is None:
            raise LedgerDamagedError(f"{stream}/{extent.path.name}: holds a line that is no record; run audit verify")
        if event["seq"] > last:
            return
        if event["seq"] > after and wanted.passes(event):
            yield Recorded(stream, line[:-1], event)
