"""One export: records in, a file out that is whole or not there, and a cursor that never runs ahead of it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from authz.audit import Recorded
from authz.core import BadRequestError
from authz.export.cursor import Cursor
from authz.export.formats import Format

Sourced = tuple[str, Recorded]
"""Where a record was exported from (`here`, or a URL), and the record."""


class Exported(Struct, frozen=True):
    """What was written: how many records, how many bytes, and the cursor behind them."""

    records: int
    size_bytes: int
    cursor: Cursor


def export(
    found: Iterable[Sourced], form: Format, output: Path, before: Cursor, cursor_file: Path | None, limit: int | None
) -> Exported:
    """Write at most `limit` records to `output`, a new file, and then how far that is to `cursor_file`.

    Cut short, there is no output and the cursor stands where it stood. Should only the cursor be missing, the next
    export has the same records again: nothing is ever left out. Raises BadRequestError when `output` is there already,
    OSError, and what reading raises.
    """
    if output.exists():
        raise BadRequestError(f"-o: {output} is there already")
    streams = {source: dict(each) for source, each in before.streams.items()}
    until = dict(before.until)
    count = 0
    with _whole(output) as file:
        file.write(form.head)
        for source, record in islice(found, limit):
            file.write(form.line(source, record))
            count += 1
            known = streams.setdefault(source, {})
            known[record.stream] = max(record.seq, known.get(record.stream, 0))
            until[source] = max(record.event["ts"], until.get(source, ""))
        size = file.tell()
    cursor = Cursor(streams=streams, until=until)
    if cursor_file is not None:
        with _whole(cursor_file) as file:
            file.write(msgspec.json.format(msgspec.json.encode(cursor)) + b"\n")
    return Exported(count, size, cursor)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file (0600) that takes its name when it is whole and durable."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
