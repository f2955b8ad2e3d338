"""Inclusion and consistency: made as RFC 6962 says, and nothing else accepted."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    EMPTY_ROOT,
    MAX_SIZE,
    ProofError,
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.properties import many
from tests.tlog.trees import ROOTS, VECTOR_HASHES, MemoryTree, hashes, mth, path, subproof

TREE = MemoryTree(hashes(4096))
SMALL = 24


def test_the_published_proofs() -> None:
    """Inclusion of leaf 5 in 8, consistency of 6 with 8 and of 2 with 5."""
    vectors = MemoryTree(VECTOR_HASHES)
    assert [one.hex() for one in inclusion_proof(5, 8, vectors)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [one.hex() for one in consistency_proof(6, 8, vectors)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [one.hex() for one in consistency_proof(2, 5, vectors)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_every_proof_of_a_small_tree(size: int) -> None:
    """Each is the one the definition gives, and is accepted."""
    leaves = hashes(SMALL)[:size]
    tree, root = MemoryTree(leaves), mth(leaves)
    assert tree_root(size, tree) == root
    for index in range(size):
        proof = inclusion_proof(index, size, tree)
        assert proof == path(index, leaves)
        verify_inclusion(index, size, leaves[index], proof, root)
    for old in range(1, size + 1):
        proof = consistency_proof(old, size, tree)
        assert proof == subproof(old, leaves)
        verify_consistency(old, size, proof, mth(leaves[:old]), root)


@many
@given(st.data())
def test_proofs_of_larger_trees(data: st.DataObject) -> None:
    """Any leaf of any tree, any tree in any later one: proven as defined, and accepted."""
    size = data.draw(st.integers(1, 4096))
    old, index = data.draw(st.integers(0, size)), data.draw(st.integers(0, size - 1))
    leaves, root = hashes(4096)[:size], tree_root(size, TREE)
    inclusion, consistency = inclusion_proof(index, size, TREE), consistency_proof(old, size, TREE)
    assert (root, inclusion) == (mth(leaves), path(index, leaves))
    assert consistency == (subproof(old, leaves) if old else [])
    verify_inclusion(index, size, leaves[index], inclusion, root)
    verify_consistency(old, size, consistency, mth(leaves[:old]), root)


Inclusion = tuple[int, int, bytes, list[bytes], bytes]
"""Index, size, leaf, proof, root."""

Consistency = tuple[int, int, list[bytes], bytes, bytes]
"""Old size, size, proof, old root, root."""


def flipped(one: bytes, bit: int = 0) -> bytes:
    """The same with one bit turned."""
    return bytes([one[0] ^ 1 << bit]) + one[1:]


def spoilt_proofs(proof: list[bytes], *others: bytes) -> list[list[bytes]]:
    """The proof with a hash turned, missing, doubled, swapped, cut, too long, or with another before or behind it."""
    spoilt = [proof[:-1], [], proof[::-1]] if proof else []
    for other in (*others, b"", b"garbage", bytes(32)):
        spoilt += [[other, *proof], [*proof, other]]
    for at, one in enumerate(proof):
        for changed in (flipped(one, 4), one[:-1], one + b"\x00", b""):
            spoilt.append([*proof[:at], changed, *proof[at + 1 :]])
        spoilt.append([*proof[:at], *proof[at + 1 :]])
        spoilt.append([*proof[: at + 1], *proof[at:]])
    return [one for one in spoilt if one != proof]


def spoilt_inclusions(index: int, size: int) -> list[Inclusion]:
    """Everything that is not quite the proof of this leaf."""
    leaf, root = hashes(SMALL)[index], mth(hashes(SMALL)[:size])
    proof = inclusion_proof(index, size, MemoryTree(hashes(SMALL)))
    places = [(index - 1, size), (index + 1, size), (index ^ 2, size), (size, size), (index - size, size)]
    places += [(index, 0), (index, -size), (0, MAX_SIZE + 1)]
    return [
        *((at, n, leaf, proof, root) for at, n in places),
        *((index, size, leaf, one, root) for one in spoilt_proofs(proof, leaf, root)),
        *((index, size, one, proof, root) for one in (b"", flipped(leaf), leaf[1:], EMPTY_ROOT)),
        *((index, size, leaf, proof, one) for one in (b"", flipped(root), root[1:], EMPTY_ROOT)),
    ]


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_a_spoilt_inclusion_proof_is_refused(size: int) -> None:
    """Another place, leaf, hash or root, and hashes too many or too few."""
    for index in range(size):
        for case in spoilt_inclusions(index, size):
            with pytest.raises(ProofError):
                verify_inclusion(*case)


def spoilt_consistencies(old: int, size: int) -> list[Consistency]:
    """Everything that is not quite the proof from `old` to `size`."""
    leaves = hashes(SMALL)
    before, root = mth(leaves[:old]), mth(leaves[:size])
    proof = consistency_proof(old, size, MemoryTree(leaves))
    cases: list[Consistency] = [
        *((old, size, one, before, root) for one in spoilt_proofs(proof, before, root)),
        *((old, size, proof, one, root) for one in (b"", flipped(before), before[1:])),
        *((old, size, proof, before, one) for one in (b"", root[1:])),
        *((m, n, proof, before, root) for m, n in ((size + 1, size), (-old - 1, size), (old, -size))),
        (old, MAX_SIZE + 1, proof, before, root),
    ]
    if old:  # Every tree continues the empty one, whatever its root.
        cases.append((old, size, proof, before, flipped(root)))
    if old not in {0, size}:
        cases.append((old, size, proof, root, before))
        cases += [(m, n, proof, before, root) for m, n in ((old - 1, size), (old + 1, size), (size, old))]
    return cases


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_a_spoilt_consistency_proof_is_refused(size: int) -> None:
    """Another size, hash or root, swapped roots, and hashes too many or too few."""
    for old in range(size + 1):
        for case in spoilt_consistencies(old, size):
            with pytest.raises(ProofError):
                verify_consistency(*case)


def test_a_proof_is_of_one_place() -> None:
    """The proof of a leaf is not accepted for any other place in the same tree."""
    root = mth(hashes(SMALL))
    for index in range(SMALL):
        proof = inclusion_proof(index, SMALL, TREE)
        for other in set(range(SMALL)) - {index}:
            with pytest.raises(ProofError):
                verify_inclusion(other, SMALL, hashes(SMALL)[index], proof, root)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ((0, 0, [], EMPTY_ROOT, EMPTY_ROOT), None),
        ((0, 8, [], EMPTY_ROOT, ROOTS[8]), None),
        ((8, 8, [], ROOTS[8], ROOTS[8]), None),
        ((0, 8, [], ROOTS[1], ROOTS[8]), "not that of a tree without leaves"),
        ((0, 0, [], ROOTS[1], ROOTS[1]), "not that of a tree without leaves"),
        ((0, 0, [], EMPTY_ROOT, ROOTS[1]), "two trees of 0 leaves have different roots"),
        ((0, 8, [ROOTS[1]], EMPTY_ROOT, ROOTS[8]), "has to be empty"),
        ((8, 8, [ROOTS[8]], ROOTS[8], ROOTS[8]), "has to be empty"),
        ((8, 8, [], ROOTS[7], ROOTS[8]), "two trees of 8 leaves have different roots"),
        ((4, 8, [], ROOTS[4], ROOTS[8]), "the consistency proof is empty"),
        ((4, 8, [], ROOTS[8], ROOTS[8]), "the consistency proof is empty"),
        ((9, 8, [], ROOTS[8], ROOTS[8]), "a tree of 9 leaves is no beginning of one of 8"),
    ],
)
def test_the_corner_cases_of_consistency(case: tuple[int, int, list[bytes], bytes, bytes], message: str | None) -> None:
    """From nothing and to the same size, C2SP's tlog-witness decides: empty proofs, and the roots still count."""
    if message is None:
        verify_consistency(*case)
        return
    with pytest.raises(ProofError, match=message):
        verify_consistency(*case)


def test_a_proof_of_another_length_is_called_that() -> None:
    """Too long or too short, whatever it would lead to."""
    inclusion, consistency = inclusion_proof(5, 8, TREE), consistency_proof(6, 8, TREE)
    for cut, message in ((slice(-1), "too short"), (slice(None), "too long")):
        more = [bytes(32)] if message == "too long" else []
        with pytest.raises(ProofError, match=f"the inclusion proof is {message}"):
            verify_inclusion(5, 8, hashes(SMALL)[5], inclusion[cut] + more, mth(hashes(SMALL)[:8]))
        with pytest.raises(ProofError, match=f"the consistency proof is {message}"):
            verify_consistency(6, 8, consistency[cut] + more, mth(hashes(SMALL)[:6]), mth(hashes(SMALL)[:8]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: inclusion_proof(8, 8, TREE),
        lambda: inclusion_proof(-1, 8, TREE),
        lambda: inclusion_proof(0, 0, TREE),
        lambda: inclusion_proof(0, MAX_SIZE + 1, TREE),
        lambda: consistency_proof(9, 8, TREE),
        lambda: consistency_proof(-1, 8, TREE),
        lambda: consistency_proof(0, MAX_SIZE + 1, TREE),
    ],
)
def test_there_is_no_proof_of_what_cannot_be(ask: Callable[[], list[bytes]]) -> None:
    """A leaf that the tree does not have, an old tree that is larger."""
    with pytest.raises(ProofError, match="a tree of"):
        ask()
