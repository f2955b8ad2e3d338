"""The checkpoint that is to be cosigned and copied, and the one place where the newest one waits."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from authz.anchoring.errors import OutwardError
from authz.tlog import (
    Checkpoint,
    HashReader,
    TlogError,
    consistency_proof,
    read_checkpoint,
    read_signature_line,
    split_note,
    tree_root,
    verify_consistency,
)

_Value = TypeVar("_Value")


class Published(NamedTuple):
    """A signed checkpoint. `hashes`: those of its tree, for proofs; reading them may take the disk."""

    note: bytes
    checkpoint: Checkpoint
    hashes: HashReader

    @classmethod
    def of(cls, note: bytes, hashes: HashReader) -> "Published":
        """From a note as it was signed. Raises MalformedError when it holds no checkpoint."""
        return cls(note, checkpoint_in(note), hashes)

    def proof_from(self, old: int) -> list[bytes]:
        """The proof that the tree of `old` leaves is its beginning. Blocks.

        Raises OutwardError when the hashes at hand are not those of the checkpoint: a tile that is gone or damaged
        must not look like a log that was rewritten.
        """
        origin, size, root, _ = self.checkpoint
        try:
            proof = consistency_proof(old, size, self.hashes)
            verify_consistency(old, size, proof, tree_root(old, self.hashes), root)
        except (TlogError, OSError) as error:
            raise OutwardError(f"there is no proof for {origin} from {old} to {size}: {error}") from None
        return proof

    def root_at(self, old: int) -> bytes:
        """Root of the tree of its first `old` leaves. Blocks. Raises OutwardError like `proof_from`."""
        self.proof_from(old)
        return tree_root(old, self.hashes)


def with_cosignatures(note: bytes, lines: Iterable[str]) -> bytes:
    """The note with these signature lines; each takes the place of an older one by the same key.

    Nothing is verified. Raises MalformedError when the note or a line is none.
    """
    text, signatures = split_note(note)
    latest = {(one.name, one.key_id): one for one in (*signatures, *map(read_signature_line, lines))}
    return "".join([text, "\n", *(f"{one.line}\n" for one in latest.values())]).encode()


def checkpoint_in(note: bytes) -> Checkpoint:
    """What a note says, whoever signed it. Raises MalformedError."""
    return read_checkpoint(split_note(note)[0])


class Newest(Generic[_Value]):
    """Holds the newest value; who looks seldom misses the others. For one event loop."""

    def __init__(self) -> None:
        self.value: _Value | None = None
        self._changed = asyncio.Event()

    def put(self, value: _Value) -> None:
        """Replace the value and wake whoever waits for that."""
        self.value = value
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, known: _Value | None, seconds: float | None) -> None:
        """Return when the value is another one than `known`, or after some time (None: only then)."""
        if self.value is not known:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
