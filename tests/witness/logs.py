"""A log for the witness to watch: a few leaves in memory, its key, and a second history under the same key."""

from collections.abc import Sequence
from typing import Final

from authz.tlog import (
    Checkpoint,
    CosignerKey,
    CosignerSigner,
    Signer,
    add_signatures,
    consistency_proof,
    cosignature_time,
    leaf_hash,
    node_hash,
    open_note,
    tree_root,
)
from authz.witness import AddCheckpoint

ORIGIN: Final = "node.example/auditor"
SIGNER: Final = Signer("node.example", bytes(range(32)))
COSIGNER: Final = CosignerSigner("witness.example/w1", bytes(range(32, 64)))
NOW: Final = 1_800_000_000


class Leaves:
    """Implements HashReader on a list of leaf hashes, in the plainest way."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)

    def subtree_root(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaves[index]
        return node_hash(self.subtree_root(level - 1, 2 * index), self.subtree_root(level - 1, 2 * index + 1))


class Log:
    """A log of numbered leaves; from leaf `forked_at` on they are others than those of a log that is not forked."""

    def __init__(self, forked_at: int | None = None, origin: str = ORIGIN, signer: Signer = SIGNER, size: int = 64):
        self.origin = origin
        self._signer = signer.named(origin)
        known = size if forked_at is None else forked_at
        leaves = [leaf_hash(b"%d" % at if at < known else b"other %d" % at) for at in range(size)]
        self.reader = Leaves(leaves)

    def checkpoint(self, size: int) -> Checkpoint:
        """The head of the first `size` leaves."""
        return Checkpoint(self.origin, size, tree_root(size, self.reader))

    def note(self, size: int) -> bytes:
        """The same, signed."""
        return self._signer.sign(self.checkpoint(size).text())

    def asked(self, old: int, size: int) -> AddCheckpoint:
        """What an honest log sends when the witness is at `old`."""
        proof = consistency_proof(old, size, self.reader) if old <= size else []
        return AddCheckpoint(old, tuple(proof), self.note(size))

    def body(self, old: int, size: int) -> bytes:
        """The same as bytes."""
        return self.asked(old, size).write()


def cosigned_at(note: bytes, answer: bytes, key: CosignerKey = COSIGNER.verifier) -> int:
    """The time of the cosignature in a 200 for this note. Fails if it is none."""
    (signature,) = open_note(add_signatures(note, answer.decode().splitlines()), [key]).signatures
    return cosignature_time(signature)
