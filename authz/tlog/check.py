"""Checking proofs: RFC 9162 sections 2.1.3.2 and 2.1.4.2, and the corner cases that C2SP decides."""

from collections.abc import Sequence

from authz.tlog.errors import ProofError
from authz.tlog.merkle import EMPTY_ROOT, node_hash
from authz.tlog.strict import HASH_BYTES, MAX_SIZE


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Whether the leaf with this hash is at `index` of the tree of `size` leaves with this root: ProofError if not."""
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    _check_lengths(leaf, root, *proof)
    node, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if node & 1 or node == last:
            found = node_hash(one, found)
            steps = _steps_to_right_child(node)
            node, last = node >> steps, last >> steps
        else:
            found = node_hash(found, one)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    if found != root:
        raise ProofError(f"the inclusion proof of leaf {index} does not lead to the root of the tree of {size} leaves")


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Whether the tree of `old` leaves is the beginning of the tree of `size` leaves: ProofError if not."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise ProofError(f"a tree of {old} leaves is no beginning of one of {size}")
    _check_lengths(old_root, root, *proof)
    if old in {0, size}:
        _verify_without_proof(old, size, proof, old_root, root)
        return
    if not proof:
        raise ProofError("the consistency proof is empty")
    node, last = old - 1, size - 1
    shared = _trailing_ones(node)
    node, last = node >> shared, last >> shared
    # A complete old tree is itself the first hash, so that the proof leaves it out.
    first, *rest = proof if node else (old_root, *proof)
    found_old = found = first
    for one in rest:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if node & 1 or node == last:
            found_old, found = node_hash(one, found_old), node_hash(one, found)
            steps = _steps_to_right_child(node)
            node, last = node >> steps, last >> steps
        else:
            found = node_hash(found, one)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    if found_old != old_root:
        raise ProofError(f"the consistency proof does not lead to the root of the tree of {old} leaves")
    if found != root:
        raise ProofError(f"the consistency proof does not lead to the root of the tree of {size} leaves")


def _verify_without_proof(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """C2SP: equal sizes mean equal roots, the empty tree has its own root, and both need an empty proof."""
    if proof:
        raise ProofError(f"from {old} to {size} leaves the consistency proof has to be empty")
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofError("the root of the old tree is not that of a tree without leaves")
    if old == size and old_root != root:
        raise ProofError(f"two trees of {size} leaves have different roots")


def _check_lengths(*hashes: bytes) -> None:
    for one in hashes:
        if len(one) != HASH_BYTES:
            raise ProofError(f"a hash of {len(one)} bytes, not {HASH_BYTES}")


def _steps_to_right_child(node: int) -> int:
    """How often to go up from `node` until it is a right child or the root of all."""
    return (node & -node).bit_length() - 1 if node else 0


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1
