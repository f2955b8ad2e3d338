"""What counts in each segment of a stream: the segment after it says so, and the last one counts while it is whole."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from authz.audit.record import MAX_RECORD_BYTES, Header, read_header
from authz.audit.segment import SegmentOpen, read_segment_open, segment_names
from authz.audit.stored import open_segment


class Extent(NamedTuple):
    """One segment. `counted_bytes` is a statement of the next one, or `size_bytes` where there is none.

    `path`: of the raw file, also where the segment is compressed; `size_bytes`: uncompressed, and where that cannot
    be known because the compressed file is damaged, what counts.
    `begun`: its first line is complete; a segment is without one while it is opened, or when that was cut short.
    `header` and `opening` are those of the first record; None when that is no segment_open or cannot be read.
    """

    path: Path
    size_bytes: int
    counted_bytes: int
    begun: bool
    header: Header | None
    opening: SegmentOpen | None


def extents(directory: Path, since: str = "", most: int | None = None) -> list[Extent]:
    """The segments of a stream, oldest first, from the one named `since` on; at most `most` of them.

    With it, of the last one it is not known what counts. One that vanishes while they are listed never counted.
    Raises OSError.
    """
    found: list[Extent] = []
    for name in reversed([each for each in segment_names(directory) if each >= since][:most]):
        path = directory / name
        after = found[-1].opening if found else None
        stated = after.previous_bytes if after is not None and after.previous_segment == name else None
        try:
            size, line = _look(path, stated or 0)
        except FileNotFoundError:
            continue
        begun = len(line) > MAX_RECORD_BYTES or line.endswith(b"\n")
        found.append(Extent(path, size, size if stated is None else stated, begun, *_first_record(line)))
    return found[::-1]


def _look(path: Path, damaged_bytes: int) -> tuple[int, bytes]:
    """Size and first line; no line where it cannot be read. Raises OSError when the segment cannot be looked at."""
    size: int | None = None
    with suppress(FileNotFoundError):
        size = path.stat().st_size
    try:
        with open_segment(path, io.DEFAULT_BUFFER_SIZE) as file:
            line = file.readline(MAX_RECORD_BYTES + 1)
            return file.seek(0, io.SEEK_END) if size is None else size, line
    except FileNotFoundError:
        raise
    except OSError:
        return damaged_bytes if size is None else size, b""


def _first_record(line: bytes) -> tuple[Header | None, SegmentOpen | None]:
    try:
        return read_header(line), read_segment_open(line)
    except ValueError:
        return None, None


def lines_forward(path: Path, end: int) -> Iterator[bytes]:
    """The lines of a segment up to `end` bytes, each with its LF; the last one is without, if it is cut. OSError."""
    offset = 0
    with open_segment(path) as file:
        for line in file:
            offset += len(line)
            if offset > end:
                if len(line) > offset - end:
                    yield line[: end - offset]
                return
            yield line


def line_blocks(path: Path, end: int, block_bytes: int = 1 << 19) -> Iterator[tuple[list[bytes], bytes]]:
    """The same, many lines at a time and without their LFs, and beside them what is left after the last LF.

    That is empty but in the last block. Raises OSError.
    """
    with open_segment(path) as file:
        while end > 0 and (lines := file.readlines(min(block_bytes, end))):
            size, rest = sum(map(len, lines)), b""
            if size > end:
                lines[-1] = lines[-1][: end - size]
            if not lines[-1].endswith(b"\n"):
                rest = lines.pop()
            end -= size
            yield [line[:-1] for line in lines], rest


def lines_backward(path: Path, end: int, block_bytes: int = 1 << 18, begin: int = 0) -> Iterator[bytes]:
    """The complete lines of the first `end` bytes of a segment, without LF, last one first. Raises OSError.

    Only one block is in memory at a time. `begin`: where a line begins, to leave out those before it.
    """
    with open_segment(path, io.DEFAULT_BUFFER_SIZE) as file:
        rest: bytes | None = None  # the end of a line whose beginning is in an earlier block; None: not complete
        while end > begin:
            start = max(begin, end - block_bytes)
            file.seek(start)
            head, *lines = file.read(end - start).split(b"\n")
            end = start
            if lines:
                if rest is not None:
                    yield lines.pop() + rest
                else:
                    lines.pop()
                yield from reversed(lines)
                rest = head
            elif rest is not None:
                rest = head + rest
        if rest is not None:
            yield rest
