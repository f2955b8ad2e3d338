"""How far a stream is under a signed checkpoint, and the hashes of the tree that was signed."""

from collections.abc import Generator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from authz.audit.evidence.leaves import numbered, write_tiles
from authz.audit.extent import extents
from authz.audit.location import LedgerDamagedError
from authz.audit.published import checkpoint_note, fetch_tile, public_keys, signed_checkpoint, tiles_directory
from authz.audit.segment import first_seq
from authz.core import AuthzError
from authz.tlog import Checkpoint, TileReader, TlogError, read_checkpoint, split_note


class NotCoveredError(AuthzError):
    """No checkpoint covers the event yet. The auditor signs about once a second: ask again."""

    code = "audit_not_covered"


class Covered(NamedTuple):
    """A stream and its newest checkpoint. `verified`: the node's public keys are kept, and one of them signed it."""

    directory: Path
    note: bytes
    checkpoint: Checkpoint
    verified: bool

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return self.directory.name


def covered(directory: Path) -> Covered:
    """How far the stream in `directory` is covered.

    Raises NotCoveredError when there is no checkpoint, LedgerDamagedError for one that is not to be believed,
    LedgerUnreadableError when there are public keys that cannot be read, OSError.
    """
    audit, stream = directory.parent, directory.name
    note = checkpoint_note(audit, stream)
    if note is None:
        raise NotCoveredError(f"{stream}: there is no checkpoint yet; is the auditor running?")
    if keys_path(audit).exists():
        return Covered(directory, note, signed_checkpoint(note, stream, public_keys(audit)), verified=True)
    try:
        found = read_checkpoint(split_note(note)[0])
    except TlogError as error:
        raise LedgerDamagedError(f"{stream}: its checkpoint: {error}") from None
    if found.origin.rpartition("/")[2] != stream:
        raise LedgerDamagedError(f"{stream}: its checkpoint is of {found.origin}")
    return Covered(directory, note, found, verified=False)


def keys_path(audit: Path) -> Path:
    """Where the public keys of the node lie, if it keeps any."""
    return audit.parent / "keys" / "audit.pub"


def hash_readers(found: Covered) -> Generator[TileReader]:
    """The hashes of the signed tree: from the tiles on disk, and for whom those fail, computed from the segments.

    Using them raises TlogError and OSError. Raises LedgerDamagedError where the segments can give none, OSError.
    """
    size = found.checkpoint.size
    tiles = tiles_directory(found.directory.parent, found.stream)
    yield TileReader(partial(fetch_tile, tiles), size)
    segments = extents(found.directory)
    if not segments or first_seq(segments[0].path.name) != 1:
        raise LedgerDamagedError(f"{found.stream}: tiles are missing or wrong, and its oldest segments are gone")
    with TemporaryDirectory() as computed:
        write_tiles(Path(computed), (line for _, line in islice(numbered(segments), size)))
        yield TileReader(partial(fetch_tile, Path(computed)), size)
