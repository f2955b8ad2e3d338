"""Checkpoints (https://c2sp.org/tlog-checkpoint): the head of a tree, as the text of a signed note.

<origin>
<size>
<base64 of the root>
<extension lines, which this service never writes>
"""

from typing import Final, NamedTuple

from authz.tlog.errors import CheckpointError, MalformedError
from authz.tlog.keys import Verifier
from authz.tlog.merkle import EMPTY_ROOT
from authz.tlog.note import Note, open_note
from authz.tlog.strict import check_text, read_hash, read_number, write_base64

_LEAST_LINES: Final = 3


class Checkpoint(NamedTuple):
    """How many leaves the log named `origin` has, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The text to be signed. Raises MalformedError when a value has no place in a checkpoint."""
        lines = [self.origin, str(self.size), write_base64(self.root), *self.extensions]
        text = "".join(f"{line}\n" for line in lines)
        if read_checkpoint(text) != self:
            raise MalformedError(f"checkpoint: {self.origin!r} or an extension is more than one line")
        return text


def read_checkpoint(text: str) -> Checkpoint:
    """From the text of a note. Raises MalformedError; a tree without leaves has the root it has to have."""
    check_text(text, "checkpoint")
    lines = text.split("\n")
    if lines.pop() or len(lines) < _LEAST_LINES or not all(lines):
        raise MalformedError("checkpoint: not three or more lines with something in each")
    origin, size, root, *extensions = lines
    found = Checkpoint(origin, read_number(size, "checkpoint size"), read_hash(root, "checkpoint root"), (*extensions,))
    if found.size == 0 and found.root != EMPTY_ROOT:
        raise MalformedError("checkpoint root: not that of a tree without leaves")
    return found


def open_checkpoint(note: bytes, key: Verifier, origin: str) -> Checkpoint:
    """The checkpoint of the log named `origin`, signed by `key`.

    Raises MalformedError for what is none, NoteError when the key did not sign it, CheckpointError when it is of
    another log.
    """
    return checkpoint_of(open_note(note, [key]), origin)


def checkpoint_of(note: Note, origin: str) -> Checkpoint:
    """The checkpoint in an opened note. Raises MalformedError when there is none, CheckpointError for another log's."""
    found = read_checkpoint(note.text)
    if found.origin != origin:
        raise CheckpointError(f"a checkpoint of {found.origin!r}, not of {origin!r}")
    return found
