"""What the auditor has published of a stream, beside the streams:

<audit directory>/tiles/<stream>/checkpoint      the newest signed tree head
<audit directory>/tiles/<stream>/tile/...        the tree
"""

from pathlib import Path
from typing import Final

from authz.audit.location import LedgerUnreadableError
from authz.tlog import TlogError, read_checkpoint, split_note

TILES: Final = "tiles"
"""Under this name no stream can be written."""


def tiles_directory(audit: Path, stream: str) -> Path:
    """Where the tree and the checkpoint of a stream are published."""
    return audit / TILES / stream


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
