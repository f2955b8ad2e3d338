"""The tree that verification grows: its root at every size, its tiles, and where it may begin."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.tile_tree import TileTree
from authz.tlog import CompactRange, TiledTree
from tests.properties import many


def _leaves(count: int, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(start, start + count)]


def _range(count: int) -> CompactRange:
    tree = CompactRange()
    tree.extend(_leaves(count))
    return tree


@many
@given(
    start=st.sampled_from([0, 1, 255, 256, 257, 511, 512, 700]),
    steps=st.lists(st.one_of(st.integers(1, 3), st.integers(200, 700)), max_size=12),
)
def test_it_has_the_root_of_the_plain_tree_after_every_step(start: int, steps: list[int]) -> None:
    """Wherever it began, and however many leaves came at a time."""
    tree, plain = TileTree(_range(start)), _range(start)
    for step in steps:
        leaves = _leaves(step, plain.size)
        plain.extend(leaves)
        tree.extend(leaves)
        assert (tree.size, tree.compact_range().hashes) == (plain.size, plain.hashes)


@pytest.mark.parametrize("size", [255, 256, 257, 1000, 65_535, 65_536, 66_000])
def test_from_the_first_leaf_it_gives_every_tile(size: int) -> None:
    """The same as the tree that the auditor writes, full and unfilled."""
    tree = TileTree(CompactRange())
    leaves = _leaves(size)
    given_tiles = {tile: content for at in range(0, size, 999) for tile, content in tree.extend(leaves[at : at + 999])}
    assert given_tiles | dict(tree.partial()) == TiledTree().extend(leaves)


def test_a_tile_in_which_it_began_is_left_out() -> None:
    """Not all of its hashes are known; those after it are whole."""
    tree = TileTree(_range(300))
    tiles = dict(tree.extend(_leaves(800, 300)))
    whole = TiledTree().extend(_leaves(1100))
    assert [str(tile) for tile in tiles] == ["tile/0/002", "tile/0/003"]
    assert tiles.items() <= whole.items()
    assert [str(tile) for tile, _ in tree.partial()] == ["tile/0/004.p/76"]
