"""The Merkle tree of RFC 6962 section 2.1: how leaves and nodes are hashed, and a tree that only grows.

leaf(d) = SHA-256(0x00 || d)      node(l, r) = SHA-256(0x01 || l || r)      the empty tree: SHA-256("")
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from authz.tlog.errors import MalformedError
from authz.tlog.strict import HASH_BYTES, MAX_SIZE

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves."""

_CHUNK: Final = 65_536


class HashReader(Protocol):
    """Where the hashes of a tree come from when proofs are made: tiles, or memory."""

    def subtree_root(self, level: int, index: int, /) -> bytes:
        """Root of the perfect subtree over the leaves `index << level` up to `(index + 1) << level`.

        Raises TlogError when it cannot be had.
        """
        ...


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: of a ledger, one record without its LF."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(lines: Iterable[bytes]) -> list[bytes]:
    """Hashes of many leaves."""
    new = sha256
    return [new(b"\x00" + line).digest() for line in lines]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two children."""
    return sha256(b"\x01" + left + right).digest()


def parents(hashes: Sequence[bytes]) -> list[bytes]:
    """Hashes of the nodes over each two of `hashes`; their number is even."""
    new = sha256
    pairs = iter(hashes)
    return [new(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over the hashes of a perfect subtree; their number is a power of two."""
    while len(hashes) > 1:
        hashes = parents(hashes)
    return hashes[0]


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over perfect subtrees that stand side by side, left to right, each smaller than the one before it."""
    if not hashes:
        return EMPTY_ROOT
    *rest, root = hashes
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


class CompactRange:
    """A tree of `size` leaves, reduced to what it takes to go on: one hash for each bit set in its size.

    `hashes`: roots of the perfect subtrees, left to right. Raises MalformedError when their number or length cannot
    be that of a tree of this size. Not safe across threads.
    """

    __slots__ = ("_by_level", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise MalformedError(f"compact range: no tree has {size} leaves")
        if len(hashes) != size.bit_count() or any(len(one) != HASH_BYTES for one in hashes):
            raise MalformedError(f"compact range: not the hashes of a tree of {size} leaves")
        levels = [level for level in range(size.bit_length()) if size >> level & 1]
        self._size = size
        self._by_level = dict(zip(levels, reversed(hashes), strict=True))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, left to right: with `size`, the whole state."""
        return tuple(self._by_level[level] for level in sorted(self._by_level, reverse=True))

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        return fold(self.hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf by its hash."""
        self._add([leaf])

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves by their hashes, in their order."""
        hashes = leaves if isinstance(leaves, list) else list(leaves)
        for start in range(0, len(hashes), _CHUNK):
            self._add(hashes[start : start + _CHUNK])

    def _add(self, hashes: list[bytes]) -> None:
        """Level by level: what was left over there, then the new ones, in pairs; an odd one out is left over."""
        added, level = len(hashes), 0
        while hashes:
            before = self._by_level.pop(level, None)
            if before is not None:
                hashes = [before, *hashes]
            if len(hashes) % 2:
                self._by_level[level] = hashes.pop()
            hashes, level = parents(hashes), level + 1
        self._size += added
