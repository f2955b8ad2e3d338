"""Checking an archive, with nothing but the archive and the node's public key."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from authz.audit.archive_files import checkpoint_path, segment_path
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.manifest import ArchivedSegment, Kept, Manifest, archived_streams, manifests
from authz.audit.new_file import file_digest
from authz.audit.published import check_beginning, fetch_tile, signed_checkpoint, tiles_directory
from authz.audit.sealed import Position, Sealed, walk
from authz.audit.segment import first_seq
from authz.audit.stored import segment_bytes
from authz.tlog import (
    TILE_LEVELS,
    TILE_WIDTH,
    Checkpoint,
    TileReader,
    TlogError,
    VerifierKey,
    node_hash,
    tiles_for,
    tree_root,
)


class CheckedStream(Struct, frozen=True, kw_only=True):
    """What an archive holds of a stream: the records from index `begin` up to `end`. `damage`: what is wrong."""

    stream: str
    begin: int = 0
    end: int = 0
    segments: int = 0
    manifest_sha256: str | None = None
    damage: str | None = None


def _nobody(_size_bytes: int) -> None:
    """The listener of those who do not watch."""


def check_archive(
    archive: Path, keys: Sequence[VerifierKey], progress: Callable[[int], None] = _nobody
) -> tuple[CheckedStream, ...]:
    """Read an archive back: every segment against its manifest, every record against the chain and the signed tree.

    Raises LedgerUnreadableError when it is none or cannot be read.
    """
    return tuple(_checked(archive, stream, keys, progress) for stream in archived_streams(archive))


def _checked(archive: Path, stream: str, keys: Sequence[VerifierKey], progress: Callable[[int], None]) -> CheckedStream:
    try:
        kept = manifests(archive, stream)
        _Check(archive, stream, keys).run(kept, progress)
    except (LedgerDamagedError, LedgerUnreadableError, TlogError) as error:
        return CheckedStream(stream=stream, damage=str(error))
    except OSError as error:
        return CheckedStream(stream=stream, damage=f"{error.filename}: {error.strerror}")
    return CheckedStream(
        stream=stream,
        begin=kept[0].manifest.begin.index,
        end=kept[-1].manifest.end.index,
        segments=sum(len(each.manifest.segments) for each in kept),
        manifest_sha256=kept[-1].sha256,
    )


class _Check:
    """One stream, from its first manifest to its last."""

    def __init__(self, archive: Path, stream: str, keys: Sequence[VerifierKey]) -> None:
        self._archive = archive
        self._stream = stream
        self._keys = keys
        self._tiles = tiles_directory(archive / "audit", stream)

    def run(self, kept: Sequence[Kept], progress: Callable[[int], None]) -> None:
        """Raises LedgerDamagedError, LedgerUnreadableError, TlogError, OSError."""
        if not kept:
            raise LedgerDamagedError(f"{self._archive}: the manifests of {self._stream} are missing")
        position = kept[0].manifest.begin.position()
        for each in kept:
            position = self._segments(each.manifest, position, progress)
            if position != each.manifest.end.position():
                raise LedgerDamagedError(f"{self._stream}: the manifest does not end where its segments end")
            checkpoint = self._checkpoint(each.manifest)
            check_beginning(self._stream, position.tree(), checkpoint, self._tiles)
        self._all_tiles(self._checkpoint(kept[-1].manifest), kept[0].manifest.begin.index)

    def _segments(self, manifest: Manifest, begin: Position, progress: Callable[[int], None]) -> Position:
        segments = [self._sealed(one) for one in manifest.segments]
        ends = [one.first for one in segments[1:]] + [manifest.end.index]
        position = begin
        due = [one._replace(end=end) for one, end in zip(segments, ends, strict=True)]
        for (segment, digest, end), stated in zip(walk(due, begin), manifest.segments, strict=True):
            if digest != stated.sha256 or segment.size_bytes != stated.size_bytes:
                raise LedgerDamagedError(f"{segment.path}: is not what the manifest says")
            position = end
            progress(segment.size_bytes)
        return position

    def _sealed(self, stated: ArchivedSegment) -> Sealed:
        """The segment as it is stored; where it ends is for the next one to say."""
        path = segment_path(self._archive, self._stream, stated.name)
        check_stored(path, stated)
        first = first_seq(stated.name) - 1
        raw = path.with_suffix("")
        return Sealed(raw, first, first, segment_bytes(raw), stated.counted_bytes, stated.first_ts)

    def _checkpoint(self, manifest: Manifest) -> Checkpoint:
        digest = manifest.checkpoint_sha256
        note = checkpoint_path(self._archive, self._stream, manifest.checkpoint_size, digest).read_bytes()
        found = signed_checkpoint(note, self._stream, self._keys)
        if (sha256(note).hexdigest(), found.size, found.origin) != (digest, manifest.checkpoint_size, manifest.origin):
            raise LedgerDamagedError(f"{self._stream}: the checkpoint is not the one that the manifest names")
        return found

    def _all_tiles(self, checkpoint: Checkpoint, first_leaf: int) -> None:
        """Every tile against the one above it, up to the signed root."""
        reader = TileReader(lambda path: fetch_tile(self._tiles, path), checkpoint.size)
        for tile in tiles_for(checkpoint.size):
            level = tile.level or 0
            pruned = level == 0 and (tile.index + 1) * TILE_WIDTH <= first_leaf
            if tile == tile.full and not pruned:
                half = TILE_LEVELS * (level + 1) - 1
                left, right = (reader.subtree_root(half, 2 * tile.index + side) for side in (0, 1))
                if node_hash(left, right) != reader.subtree_root(half + 1, tile.index):
                    raise LedgerDamagedError(f"{self._tiles}/{tile}: does not fit the tile above it")
        if tree_root(checkpoint.size, reader) != checkpoint.root:
            raise LedgerDamagedError(f"{self._tiles}: the tiles do not lead to the signed root")


def check_stored(path: Path, stated: ArchivedSegment) -> None:
    """Whether a file of an archive is, on its device, what the manifest states. LedgerDamagedError, OSError."""
    if file_digest(path) != stated.stored_sha256:
        raise LedgerDamagedError(f"{path}: is not what the manifest says")
