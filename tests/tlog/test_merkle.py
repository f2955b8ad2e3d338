"""The tree: hashing, growing, and what is left of it between two steps."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import EMPTY_ROOT, CompactRange, MalformedError, leaf_hash, leaf_hashes, node_hash
from tests.properties import many
from tests.tlog.trees import LEAVES, ROOTS, VECTOR_HASHES, compact, hashes, mth

CUTS = st.lists(st.integers(0, 1500), min_size=1, max_size=6)


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """RFC 6962: one byte before leaves, another before nodes, so that none can pass for the other."""
    assert leaf_hash(b"x") == sha256(b"\x00x").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert [one.hex() for one in VECTOR_HASHES[:3]] == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    ]
    assert leaf_hashes(iter(LEAVES)) == VECTOR_HASHES


def test_the_published_roots() -> None:
    """Leaf by leaf, the tree has the roots that every implementation of RFC 6962 has."""
    tree = CompactRange()
    roots = [tree.root()]
    for leaf in VECTOR_HASHES:
        tree.append(leaf)
        roots.append(tree.root())
    assert roots == ROOTS
    assert roots[0] == EMPTY_ROOT


@pytest.mark.parametrize(
    ("size", "root"),
    [
        (255, "46480c89"),
        (256, "5674300101808c96b0b2eb1b448615fb1c98650b2583b6791cf4c764918a823d"),
        (65_536, "a7e700cb"),
        (70_000, "060bfef3a2680a0345df6fd2c1c998b4f265d652926cc843a1174363051b1547"),
    ],
)
def test_the_roots_of_larger_trees(size: int, root: str) -> None:
    """Over {"n":0}, {"n":1} and so on: as computed by Go's sumdb/tlog."""
    assert compact(hashes(70_000)[:size]).root().hex().startswith(root)


@pytest.mark.slow
@many
@given(CUTS)
def test_a_tree_does_not_depend_on_how_it_grew(cuts: list[int]) -> None:
    """One by one, in parts of any size, or resumed from its compact range: the same root as by definition."""
    leaves = hashes(10_000)
    tree = CompactRange()
    for cut in cuts:
        tree.extend(iter(leaves[tree.size : tree.size + cut]))
        tree = CompactRange(tree.size, tree.hashes)
        assert tree.root() == mth(leaves[: tree.size])
    tree.append(leaves[tree.size])
    assert (tree.size, tree.root()) == (sum(cuts) + 1, mth(leaves[: sum(cuts) + 1]))


def test_a_growth_of_more_than_one_chunk() -> None:
    """What is added at once may be larger than what is hashed at once, and is left as it was."""
    leaves = list(hashes(70_000)) * 3
    tree = compact(leaves)
    assert (tree.size, tree.root()) == (210_000, mth(leaves))
    assert leaves == list(hashes(70_000)) * 3


@many
@given(st.integers(0, 300))
def test_a_compact_range_is_the_perfect_subtrees(size: int) -> None:
    """Left to right, one for each bit set in the size."""
    leaves, expected, start = hashes(300), [], 0
    for level in reversed(range(9)):
        if size >> level & 1:
            expected.append(mth(leaves[start : start + (1 << level)]))
            start += 1 << level
    assert compact(leaves[:size]).hashes == tuple(expected)


@pytest.mark.parametrize(
    ("size", "given_hashes"),
    [(-1, []), (2**63, [b"x" * 32]), (0, [b"x" * 32]), (1, []), (3, [b"x" * 32]), (1, [b"x" * 31]), (1, [b"x" * 33])],
)
def test_what_cannot_be_a_compact_range_is_refused(size: int, given_hashes: list[bytes]) -> None:
    """A size no tree has, hashes too many or too few, or of another length."""
    with pytest.raises(MalformedError, match="compact range"):
        CompactRange(size, given_hashes)
