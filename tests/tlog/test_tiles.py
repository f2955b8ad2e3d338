"""Tiles: which there are, where they are, and that the whole tree can be had from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tlog import (
    MAX_SIZE,
    MalformedError,
    ProofError,
    TiledTree,
    TileMissingError,
    TilePath,
    TileReader,
    consistency_proof,
    entries_path,
    inclusion_proof,
    leaf_hash,
    read_tile,
    read_tile_path,
    tile_path,
    tiles_for,
    tree_root,
)
from tests.properties import many
from tests.tlog.trees import MemoryTree, Tiles, compact, hashes, line, mth

PATHS = {
    "tile/0/000": TilePath(0, 0),
    "tile/0/273.p/112": TilePath(0, 273, 112),
    "tile/1/x001/x234/067": TilePath(1, 1_234_067),
    "tile/63/x009/x223/x372/x036/x854/x775/807.p/255": TilePath(63, MAX_SIZE, 255),
    "tile/entries/999": TilePath(None, 999),
    "tile/entries/x001/000.p/1": TilePath(None, 1000, 1),
}


@pytest.mark.parametrize("path", PATHS)
def test_the_path_of_a_tile(path: str) -> None:
    """Three digits to a directory, as C2SP writes it, and back."""
    tile = PATHS[path]
    assert (str(tile), read_tile_path(path)) == (path, tile)
    if tile.level is None:
        assert entries_path(tile.index, tile.width) == path
    else:
        assert tile_path(tile.level, tile.index, tile.width) == path


@many
@given(st.none() | st.integers(0, 63), st.integers(0, MAX_SIZE), st.integers(1, 256))
def test_every_path_comes_back(level: int | None, index: int, width: int) -> None:
    """One way to write each."""
    assert read_tile_path(str(TilePath(level, index, width))) == TilePath(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000/000",
        "tile/0/x001/x000",
        "tile/0/001/000",
        "tile/0/x001000",
        "tile/0/X001/000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000.p/-1",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/\u0660\u0660\u0660",
        "tile/\u0660/000",
        "tile/8/0/000",
        "tile/0/../000",
        "tile/0/x001/../000",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/x001/x009/x223/x372/x036/x854/x775/807",
        "checkpoint",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """Another way to write one, a tile that cannot be, or an attempt to leave the directory."""
    with pytest.raises(MalformedError, match="tile"):
        read_tile_path(path)


@pytest.mark.parametrize("values", [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, MAX_SIZE + 1, 1), (0, 0, 0), (0, 0, 257)])
def test_there_is_no_path_of_what_cannot_be(values: tuple[int, int, int]) -> None:
    """Levels 0 to 63, up to 256 hashes."""
    with pytest.raises(MalformedError, match="tile: there is none"):
        tile_path(*values)


def test_the_tiles_of_a_tree() -> None:
    """The example in C2SP's tlog-tiles, and the smallest ones."""
    assert [str(tile) for tile in tiles_for(70_000)] == [
        *(f"tile/0/{number:03}" for number in range(273)),
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert list(tiles_for(0)) == []
    assert [str(tile) for tile in tiles_for(1)] == ["tile/0/000.p/1"]
    assert [str(tile) for tile in tiles_for(256)] == ["tile/0/000", "tile/1/000.p/1"]
    assert [str(tile) for tile in tiles_for(257)] == ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]


@many
@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_the_tiles_that_growth_adds(one: int, other: int) -> None:
    """Those of the larger tree without those of the smaller."""
    since, size = sorted((one, other))
    before = set(tiles_for(since))
    assert list(tiles_for(size, since)) == [tile for tile in tiles_for(size) if tile not in before]


def check(tiles: Tiles, size: int, leaves: tuple[bytes, ...]) -> None:
    """Every tile of the tree of this size is there and holds what C2SP's definition says."""
    for tile in tiles_for(size):
        assert tile.level is not None
        span = 256**tile.level
        first = tile.index * 256
        expected = [mth(leaves[at * span : (at + 1) * span]) for at in range(first, first + tile.width)]
        assert read_tile(tiles[str(tile)], tile.width) == expected


def test_the_tiles_of_every_size_up_to_300() -> None:
    """Leaf by leaf: tiles as defined, their reader gives the root, and the tree goes on from them."""
    leaves, tiles = hashes(300), Tiles()
    for size in range(1, 301):
        tiles.extend(leaves[size - 1 : size])
        assert tiles.tree.size == size
        check(tiles, size, leaves)
        assert tree_root(size, TileReader(tiles.fetch, size)) == tiles.tree.root() == mth(leaves[:size])
        assert TiledTree.read(tiles.fetch, size).root() == tiles.tree.root()


def test_the_tiles_of_70_000_leaves() -> None:
    """All at once; proofs from them are those from memory."""
    leaves, tiles = hashes(70_000), Tiles()
    tiles.extend(leaves)
    assert list(tiles) == sorted(map(str, tiles_for(70_000)), key=list(tiles).index)
    assert len(tiles) == 277
    assert tiles.tree.root().hex() == "060bfef3a2680a0345df6fd2c1c998b4f265d652926cc843a1174363051b1547"
    assert tiles.tree.compact_range().hashes == compact(leaves).hashes
    reader, memory = TileReader(tiles.fetch, 70_000), MemoryTree(leaves)
    for index in (0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999):
        assert inclusion_proof(index, 70_000, reader) == inclusion_proof(index, 70_000, memory)
        assert consistency_proof(index, 70_000, reader) == consistency_proof(index, 70_000, memory)


@pytest.mark.slow
@many
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=6))
def test_tiles_do_not_depend_on_how_the_tree_grew(parts: list[int]) -> None:
    """In parts of any size, each from the tiles of the one before: exactly the tiles that each growth adds."""
    leaves, tiles = hashes(10_000), Tiles()
    for part in parts:
        since = tiles.tree.size
        tiles.tree = TiledTree.read(tiles.fetch, since)
        new = tiles.tree.extend(leaves[since : since + part])
        tiles.update({str(tile): content for tile, content in new.items()})
        assert set(new) == set(tiles_for(since + part, since))
        assert tiles.tree.root() == mth(leaves[: since + part])
        assert tiles.tree.compact_range().hashes == compact(leaves[: since + part]).hashes


def test_a_growth_past_the_second_tile_of_level_1() -> None:
    """From 60,000 leaves to 140,000: the tiles that are added, at every level, hold the tree."""
    leaves, tiles = hashes(70_000) * 2, Tiles()
    tiles.extend(leaves[:60_000])
    new = tiles.tree.extend(leaves[60_000:])
    tiles.update({str(tile): content for tile, content in new.items()})
    assert set(new) == set(tiles_for(140_000, 60_000))
    assert tree_root(140_000, TileReader(tiles.fetch, 140_000)) == tiles.tree.root() == mth(leaves)


def test_the_tiles_of_an_older_tree_are_read_from_fuller_ones() -> None:
    """A log may delete a partial tile once the full one is there."""
    leaves, tiles = hashes(600), Tiles()
    tiles.extend(leaves[:300])
    tiles.extend(leaves[300:])
    del tiles["tile/0/001.p/44"]
    reader = TileReader(tiles.fetch, 300)
    assert tree_root(300, reader) == mth(leaves[:300])
    assert inclusion_proof(299, 300, reader) == inclusion_proof(299, 300, MemoryTree(leaves))
    assert TiledTree.read(tiles.fetch, 300).root() == mth(leaves[:300])


def test_a_proof_reads_few_tiles() -> None:
    """At most two of each level, each once."""
    tiles = Tiles()
    tiles.extend(hashes(70_000))
    reader = TileReader(tiles.fetch, 70_000)
    inclusion_proof(12_345, 70_000, reader)
    assert sorted(tiles.asked) == ["tile/0/048", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17"]


def test_a_tile_that_is_missing_or_of_another_length_is_an_error() -> None:
    """Which one, and what is wrong with it; what the fetch itself raises goes through."""
    tiles = Tiles()
    tiles.extend(hashes(300))
    reader = TileReader(tiles.fetch, 300)
    whole = tiles.pop("tile/0/001.p/44")
    with pytest.raises(TileMissingError, match="tile/0/001"):
        tree_root(300, reader)
    for cut in (b"", whole[:-1], whole[:-32], whole + bytes(32)):
        tiles["tile/0/001.p/44"] = cut
        with pytest.raises(MalformedError, match=f"tile: {len(cut)} bytes where 44 hashes belong"):
            tree_root(300, reader)

    def broken(path: str) -> bytes:
        raise PermissionError(path)

    with pytest.raises(PermissionError):
        tree_root(300, TileReader(broken, 300))


@pytest.mark.parametrize(("level", "index"), [(0, 300), (0, -1), (-1, 0), (1, 150), (9, 0), (5, 9), (5000, 0)])
def test_a_subtree_that_is_not_in_the_tree_is_refused(level: int, index: int) -> None:
    """The tree of 300 leaves has 300 of them, and perfect subtrees below 300."""
    tiles = Tiles()
    tiles.extend(hashes(300))
    with pytest.raises(ProofError, match="has no complete subtree"):
        TileReader(tiles.fetch, 300).subtree_root(level, index)


@pytest.mark.parametrize(("level", "index"), [(0, 2), (1, 1), (2, 0), (0, -1), (-1, 0), (5000, 0)])
def test_a_tile_that_is_not_in_the_tree_is_missing(level: int, index: int) -> None:
    """Nobody is asked for it."""
    tiles = Tiles()
    with pytest.raises(TileMissingError, match="a tree of 300 leaves has no tile"):
        TileReader(tiles.fetch, 300).tile(level, index)
    assert tiles.asked == []


def test_the_first_hash_of_a_tile_is_that_of_its_entry() -> None:
    """Level 0 holds leaf hashes."""
    tiles = Tiles()
    tiles.extend(hashes(300))
    assert read_tile(tiles["tile/0/001.p/44"], 44)[0] == leaf_hash(line(256))
