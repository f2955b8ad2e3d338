"""A stream as others fetch it (https://c2sp.org/tlog-tiles): its checkpoint, and what is under that, by their paths.

    checkpoint      tile/<level>/<index>[.p/<width>]      tile/entries/<index>[.p/<width>]

Hashes are the published tiles. Entries are not stored: a bundle is made of the records themselves. What is fetched is
as it lies on disk; whoever fetches it compares it with the root that was signed, and that is what it is for.
"""

from pathlib import Path
from typing import Final

from authz.audit.by_number import records
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.prune_lookup import pruned_before
from authz.audit.published import checkpoint_note, fetch_tile, published_size, tiles_directory
from authz.audit.rollup_record import AUDITOR
from authz.audit.segment import first_seq, segment_names, stream_directory
from authz.audit.successors import newest_successor
from authz.core import AuthzError, ConfigurationError
from authz.tlog import (
    HASH_BYTES,
    TILE_LEVELS,
    TILE_WIDTH,
    MalformedError,
    TileMissingError,
    TilePath,
    entry_bundle,
    read_tile_path,
)

NODE: Final = "node"
"""Stands for the node's own stream, under whatever name that goes on."""


class NotServedError(AuthzError):
    """There is nothing to fetch under this name and path. The message says why, and whether there will be."""

    code = "audit_not_served"


def served(audit: Path, stream: str, path: str) -> bytes:
    """What lies at `path` of the log of `stream`.

    Raises NotServedError, LedgerDamagedError where something else is in its place, LedgerUnreadableError.
    """
    try:
        stream = _checked(audit, stream)
        if path == "checkpoint":
            return _checkpoint(audit, stream)
        return _tile(audit, stream, read_tile_path(path))
    except (ConfigurationError, MalformedError):
        raise NotServedError("There is no such path in a log.") from None
    except OSError as error:
        raise LedgerUnreadableError(f"{stream}: {error}") from None


def _checked(audit: Path, stream: str) -> str:
    name = newest_successor(audit, AUDITOR) if stream == NODE else stream
    stream_directory(audit, name)
    return name


def _checkpoint(audit: Path, stream: str) -> bytes:
    note = checkpoint_note(audit, stream)
    if note is None:
        raise NotServedError(
            f"There is no checkpoint of {stream}: either no such stream, or nothing of it is signed yet."
        )
    return note


def _tile(audit: Path, stream: str, tile: TilePath) -> bytes:
    size = published_size(audit, stream)
    if (tile.index * TILE_WIDTH + tile.width) << TILE_LEVELS * (tile.level or 0) > size:
        raise NotServedError(f"{tile} is beyond the newest checkpoint of {stream}, which covers {size} records.")
    return _bundle(audit, stream, tile) if tile.level is None else _hashes(audit, stream, tile, tile.level, size)


def _hashes(audit: Path, stream: str, tile: TilePath, level: int, size: int) -> bytes:
    """The tile, or the beginning of the wider one that took its place."""
    now = min(TILE_WIDTH, (size >> TILE_LEVELS * level) - tile.index * TILE_WIDTH)
    for found in dict.fromkeys((tile, TilePath(level, tile.index, now), tile.full)):
        try:
            data = fetch_tile(tiles_directory(audit, stream), str(found))
        except TileMissingError:
            continue
        if len(data) != found.width * HASH_BYTES:
            raise LedgerDamagedError(f"{stream}: {found} has {len(data)} bytes")
        return data[: tile.width * HASH_BYTES]
    raise _missing(audit, stream, tile, tile.index * TILE_WIDTH << TILE_LEVELS * level)


def _bundle(audit: Path, stream: str, tile: TilePath) -> bytes:
    index = tile.index * TILE_WIDTH
    try:
        lines = records(stream_directory(audit, stream), index + 1, tile.width)
    except FileNotFoundError:  # pruned meanwhile
        lines = []
    if len(lines) < tile.width:
        raise _missing(audit, stream, tile, index + len(lines))
    return entry_bundle(lines)


def _missing(audit: Path, stream: str, tile: TilePath, index: int) -> AuthzError:
    """Why something is gone that the checkpoint covers: leaf `index`, or what was made of it and the next ones."""
    kept = [first for name in segment_names(audit / stream) if (first := first_seq(name)) > index + 1]
    if kept and pruned_before(audit, stream, kept[0]) is not None:
        return NotServedError(f"{tile} is gone: records of {stream} before number {kept[0]} were pruned.")
    return LedgerDamagedError(f"{stream}: {tile} is not there, and record {index + 1} was not pruned")
