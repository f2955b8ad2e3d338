"""Making proofs (RFC 6962 sections 2.1.1 and 2.1.2), from the roots of perfect subtrees."""

from authz.tlog.errors import ProofError
from authz.tlog.merkle import HashReader, fold
from authz.tlog.strict import MAX_SIZE


def inclusion_proof(index: int, size: int, hashes: HashReader) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root of the tree of `size` leaves, the leaf's sibling first.

    Raises ProofError when the tree has no such leaf, and whatever TlogError `hashes` raises.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _left_part(high - low)
        if index < middle:
            path.append(_root(middle, high, hashes))
            high = middle
        else:
            path.append(_root(low, middle, hashes))
            low = middle
    return path[::-1]


def consistency_proof(old: int, size: int, hashes: HashReader) -> list[bytes]:
    """The hashes that show that the tree of `old` leaves is the beginning of the tree of `size` leaves.

    Empty when `old` is 0 or `size`. Raises ProofError when `old` is larger, and whatever TlogError `hashes` raises.
    """
    if not 0 <= old <= size <= MAX_SIZE:
        raise ProofError(f"a tree of {old} leaves is no beginning of one of {size}")
    if old == 0:
        return []
    path: list[bytes] = []
    low, high = 0, size
    while old != high:
        middle = low + _left_part(high - low)
        if old <= middle:
            path.append(_root(middle, high, hashes))
            high = middle
        else:
            path.append(_root(low, middle, hashes))
            low = middle
    if low:
        path.append(_root(low, high, hashes))
    return path[::-1]


def tree_root(size: int, hashes: HashReader) -> bytes:
    """Root of the tree over the first `size` leaves. Raises whatever TlogError `hashes` raises."""
    return _root(0, size, hashes)


def _left_part(count: int) -> int:
    """The largest power of two below `count`: where RFC 6962 splits a range of more than one leaf."""
    return 1 << ((count - 1).bit_length() - 1)


def _root(low: int, high: int, hashes: HashReader) -> bytes:
    """Root over the leaves `low` up to `high`; `low` is a multiple of the first power of two that holds them all."""
    subtrees = []
    while low < high:
        level = (high - low).bit_length() - 1
        subtrees.append(hashes.subtree_root(level, low >> level))
        low += 1 << level
    return fold(subtrees)
