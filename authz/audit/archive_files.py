"""The files of an archive: each is written once, made durable, read back and compared before it counts.

    audit/<stream>/<first_seq>.jsonl.zst            the segments, byte for byte
    audit/tiles/<stream>/tile/...                   the tree they are leaves of
    checkpoints/<stream>/<size>.<digest>            signed heads of it
    manifests/<stream>/<index>.json                 what each run added

Nothing is ever replaced: what is there already has to be the same.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from authz.audit.files import Files
from authz.audit.frames import DamagedFileError, blocks_of, compressed, open_compressed
from authz.audit.manifest import ArchivedSegment, Kept, Manifest, manifest_bytes, manifest_path, manifests
from authz.audit.new_file import blocks, digest_of, file_digest, write_new_file
from authz.audit.published import fetch_tile, tiles_directory
from authz.audit.sealed import Sealed
from authz.audit.segment import make_directory
from authz.audit.stored import compressed_path
from authz.core import AuthzError, BadRequestError
from authz.tlog import HASH_BYTES, TILE_WIDTH, TileMissingError, TilePath, tiles_for


class ArchiveConflictError(AuthzError):
    """The archive holds something else under the name of what was to be put there. Nothing in it is replaced."""

    code = "archive_conflict"


class ArchiveFiles:
    """Puts files into an archive. The caller holds its `upkeep`. Every method raises OSError."""

    def __init__(self, archive: Path, files: Files) -> None:
        self._archive = archive
        self._files = files
        self._unsynced: set[Path] = set()
        """Directories of files whose names may not be on the device yet: new ones, and those a crash may have left."""

    def manifests(self, stream: str) -> list[Kept]:
        """Those of the runs before, on the device when this returns. Raises as `manifest.manifests` does."""
        found = manifests(self._archive, stream)
        if found:
            self._files.sync_directory(self._archive / "manifests" / stream)
        return found

    def put_segment(self, segment: Sealed, digest: str) -> ArchivedSegment:
        """The segment whose uncompressed bytes have this digest. Raises ArchiveConflictError."""
        target = segment_path(self._archive, segment.path.parent.name, segment.name)
        if not target.exists():
            with _source(segment.path) as file:
                raw = segment.path.exists()
                pieces = compressed(blocks_of(file)) if raw else blocks(file)
                self._write(target, pieces, lambda part: check_content(part, digest))
        elif not _holds(target, digest):
            raise _conflict(target)
        self._unsynced.add(target.parent)
        return ArchivedSegment(
            name=segment.name,
            first_ts=segment.first_ts,
            last_ts=segment.last_ts(),
            size_bytes=segment.size_bytes,
            counted_bytes=segment.counted_bytes,
            sha256=digest,
            stored_bytes=target.stat().st_size,
            stored_sha256=file_digest(target),
        )

    def put_tiles(self, audit: Path, stream: str, size: int, since: int, first_leaf: int) -> None:
        """The tiles of the tree of `size` leaves that it did not have with `since`, but for those of pruned leaves.

        Raises ArchiveConflictError, TileMissingError.
        """
        source, target = tiles_directory(audit, stream), tiles_directory(self._archive / "audit", stream)
        for tile in tiles_for(size, since):
            if tile.level or (tile.index + 1) * TILE_WIDTH > first_leaf:
                self._put(target / str(tile), tile_bytes(source, tile))

    def put_checkpoint(self, stream: str, size: int, note: bytes) -> str:
        """A signed checkpoint; returns its digest. Raises ArchiveConflictError."""
        digest = sha256(note).hexdigest()
        self._put(checkpoint_path(self._archive, stream, size, digest), note)
        return digest

    def put_manifest(self, manifest: Manifest) -> str:
        """The manifest of a run: with it, the run counts. Returns its digest. Raises ArchiveConflictError."""
        self._sync()
        data = manifest_bytes(manifest)
        self._put(manifest_path(self._archive, manifest.stream, manifest.end.index), data)
        self._sync()
        return sha256(data).hexdigest()

    def _put(self, target: Path, data: bytes) -> None:
        if not target.exists():
            self._write(target, [data])
        elif file_digest(target) != sha256(data).hexdigest():
            raise _conflict(target)
        self._unsynced.add(target.parent)

    def _sync(self) -> None:
        for directory in self._unsynced:
            self._files.sync_directory(directory)
        self._unsynced.clear()

    def _write(self, target: Path, pieces: Iterable[bytes], check: Callable[[Path], None] | None = None) -> None:
        if not target.parent.is_dir():
            make_directory(target.parent, self._files)
        write_new_file(target, pieces, self._files, check)


def check_apart(audit: Path, archive: Path) -> None:
    """Raises BadRequestError for an archive that is the ledger itself: a prune would drop its only copy."""
    inside = archive / "audit"
    if archive.resolve().is_relative_to(audit) or (inside.exists() and inside.samefile(audit)):
        raise BadRequestError(f"{archive}: is the ledger itself; an archive is a directory of its own")


def segment_path(archive: Path, stream: str, name: str) -> Path:
    """Where an archive has a segment."""
    return compressed_path(archive / "audit" / stream / name)


def checkpoint_path(archive: Path, stream: str, size: int, digest: str) -> Path:
    """Where an archive has a signed checkpoint."""
    return archive / "checkpoints" / stream / f"{size:012d}.{digest[:16]}"


def tile_bytes(directory: Path, tile: TilePath) -> bytes:
    """A tile of a published tree; in the place of a partial one the beginning of the full one. TileMissingError."""
    try:
        return fetch_tile(directory, str(tile))
    except TileMissingError:
        if tile == tile.full:
            raise
    return fetch_tile(directory, str(tile.full))[: tile.width * HASH_BYTES]


def check_content(path: Path, digest: str) -> None:
    """Whether the uncompressed bytes of a compressed file have this SHA-256. Raises DamagedFileError, OSError."""
    if not _holds(path, digest):
        raise DamagedFileError(None, "holds other bytes than the segment", str(path))


def _holds(path: Path, digest: str) -> bool:
    with open_compressed(path) as file:
        return digest_of(file) == digest


def _source(path: Path) -> BinaryIO:
    return (path if path.exists() else compressed_path(path)).open("rb")


def _conflict(target: Path) -> ArchiveConflictError:
    return ArchiveConflictError(
        f"{target}: something else is archived under this name; nothing in an archive is replaced, use another one"
    )
