"""What the auditor has published of a stream, beside the streams, and whether the node's key signed it.

<audit directory>/tiles/<stream>/checkpoint      the newest signed tree head
<audit directory>/tiles/<stream>/tile/...        the tree
<state directory>/keys/audit.pub                 the node's public keys, newest first
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.tlog import (
    Checkpoint,
    CompactRange,
    ProofError,
    TileMissingError,
    TileReader,
    TlogError,
    VerifierKey,
    checkpoint_of,
    consistency_proof,
    open_note,
    read_checkpoint,
    split_note,
    verify_consistency,
)

TILES: Final = "tiles"
"""Under this name no stream can be written."""


def tiles_directory(audit: Path, stream: str) -> Path:
    """Where the tree and the checkpoint of a stream are published."""
    return audit / TILES / stream


def fetch_tile(directory: Path, path: str) -> bytes:
    """The bytes of a tile of a published tree. Raises TileMissingError, OSError."""
    try:
        return (directory / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise TileMissingError(f"{directory}: there is no {path}") from None


def checkpoint_note(audit: Path, stream: str) -> bytes | None:
    """The newest checkpoint of a stream as it was signed; None when there is none yet. Raises OSError."""
    try:
        return (tiles_directory(audit, stream) / "checkpoint").read_bytes()
    except FileNotFoundError:
        return None


def published_size(audit: Path, stream: str) -> int:
    """How many records the newest checkpoint of a stream speaks of; 0 when there is none.

    Its signature is not looked at: this is for what loses nothing if somebody made the checkpoint up. Raises
    LedgerUnreadableError when it is no checkpoint, OSError.
    """
    note = checkpoint_note(audit, stream)
    if note is None:
        return 0
    try:
        return read_checkpoint(split_note(note)[0]).size
    except TlogError as error:
        raise LedgerUnreadableError(f"{tiles_directory(audit, stream)}: {error}") from None


def public_keys(audit: Path) -> tuple[VerifierKey, ...]:
    """The node's public keys, newest first. Raises LedgerUnreadableError when they cannot be read."""
    path = audit.parent / "keys" / "audit.pub"
    try:
        return tuple(VerifierKey.read(line) for line in path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError, TlogError) as error:
        raise LedgerUnreadableError(f"{path}: the auditor's public keys cannot be read: {error}") from None


def signed_checkpoint(note: bytes, stream: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint of a stream in a note that a key of the node signed. Raises LedgerDamagedError if none did."""
    try:
        named = [key.named(f"{key.name}/{stream}") for key in keys]
        opened = open_note(note, named)
        return checkpoint_of(opened, opened.signatures[0].name)
    except TlogError as error:
        raise LedgerDamagedError(f"{stream}: the checkpoint is not to be believed: {error}") from None


def check_beginning(stream: str, tree: CompactRange, checkpoint: Checkpoint, tiles: Path) -> None:
    """Whether `tree` is the beginning of the tree that was signed.

    Raises LedgerDamagedError when it is not, LedgerUnreadableError when the tiles do not have what it takes to know.
    """
    reader = TileReader(lambda path: fetch_tile(tiles, path), checkpoint.size)
    try:
        proof = consistency_proof(tree.size, checkpoint.size, reader)
        verify_consistency(tree.size, checkpoint.size, proof, tree.root(), checkpoint.root)
    except ProofError as error:
        raise LedgerDamagedError(
            f"{stream}: the first {tree.size} records are not those that were signed, or the tiles are damaged: {error}"
        ) from None
    except (TlogError, OSError) as error:
        raise LedgerUnreadableError(f"{stream}: {error}") from None
