"""Removing what a durable prune record says may go: segments, oldest first, and the tiles over their records.

Whatever a crash leaves of it is removed by the next run, which starts from the same record.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from authz.audit.files import Files
from authz.audit.frames import DamagedFileError
from authz.audit.hold import Hold
from authz.audit.new_file import digest_of, write_new_file
from authz.audit.prune_record import Pruned, PrunedSegment
from authz.audit.published import fetch_tile
from authz.audit.sealed import span
from authz.audit.segment import first_seq, segment_names
from authz.audit.stored import compressed_path, open_segment, stored_bytes
from authz.tlog import TILE_WIDTH, TileReader, tile_path, tiles_for


def keep_edge(tiles: Path, index: int, size: int, files: Files) -> None:
    """Make durable the tiles of the tree of `index` leaves that later trees outgrow.

    The records they are of are about to go, so they could not be made again; `size` is that of the published tree.
    Raises TlogError, OSError.
    """
    reader = TileReader(lambda path: fetch_tile(tiles, path), size)
    for tile in tiles_for(index):
        if tile != tile.full:
            data = b"".join(reader.tile(tile.level or 0, tile.index)[: tile.width])
            _keep(tiles / str(tile), data, files)


def _keep(path: Path, data: bytes, files: Files) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True)
        files.sync_directory(path.parent.parent)
    if not path.exists():
        write_new_file(path, [data], files)
    elif path.read_bytes() != data:
        raise DamagedFileError(None, "is not what later tiles say", str(path))
    else:
        _sync(path)
    files.sync_directory(path.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Removal(NamedTuple):
    """`freed_bytes` of disk; a sentence in `left` for each segment that should have gone and was left."""

    removed: tuple[str, ...] = ()
    freed_bytes: int = 0
    left: tuple[str, ...] = ()


def remove(directory: Path, tiles: Path, records: Sequence[Pruned], holds: Sequence[Hold], files: Files) -> Removal:
    """Remove what the prune records of the stream in `directory`, the furthest one last, say may go.

    A segment that is not what was pruned stays, and so does one under a hold. Raises OSError.
    """
    if not records:
        return Removal()
    stated = {segment.name: segment for record in records for segment in record.segments}
    end = records[-1].minimum_index
    removed, left, freed_bytes = [], [], 0
    for name in segment_names(directory):
        if first_seq(name) > end:
            break
        path = directory / name
        why = _why_not(path, stated.get(name), holds)
        if why is not None:
            left.append(f"{directory.name}/{name} is left: {why}")
            continue
        freed_bytes += stored_bytes(path)
        for form in (compressed_path(path), path):
            form.unlink(missing_ok=True)
        removed.append(name)
    if removed:
        files.sync_directory(directory)
    since = records[-2].minimum_index if len(records) > 1 else 0
    _remove_tiles(tiles, since // TILE_WIDTH, end // TILE_WIDTH)
    return Removal(tuple(removed), freed_bytes, tuple(left))


def _why_not(path: Path, stated: PrunedSegment | None, holds: Sequence[Hold]) -> str | None:
    if stated is None:
        return "no prune record names it"
    with open_segment(path) as file:
        if digest_of(file) != stated.sha256:
            return "it is not the segment that the prune record names"
    first_ts, last_ts = span(path, stated.size_bytes)
    for hold in holds:
        if hold.covers(path.parent.name, first_ts, last_ts):
            return f"it is under the hold {hold.hold} ({hold.reason})"
    return None


def _remove_tiles(tiles: Path, first: int, end: int) -> None:
    """The level-0 tiles from `first` up to `end`, in their order: if the last one is gone, so are the others."""
    if end == 0 or not (tiles / tile_path(0, end - 1)).exists():
        return
    for index in range(first, end):
        path = tiles / tile_path(0, index)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # others are still in it
            path.parent.rmdir()
