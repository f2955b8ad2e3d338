"""A tree that grows and says which tiles to write: whoever keeps a log's tiles hashes every node once."""

from collections.abc import Callable, Sequence

from authz.tlog.merkle import CompactRange, fold, parents, perfect_root
from authz.tlog.tile_paths import TILE_LEVELS, TILE_WIDTH, TilePath, tiles_for
from authz.tlog.tiles import TileReader

_CHUNK = 65_536
"""Leaves added at a time: so many hashes and their parents are in memory, however many come."""


class TiledTree:
    """The right edge of a tree: of each level of tiles, the hashes in the last, unfilled one.

    Not safe across threads.
    """

    def __init__(self) -> None:
        self._size = 0
        self._edge: list[list[bytes]] = []

    @classmethod
    def read(cls, fetch: Callable[[str], bytes], size: int) -> "TiledTree":
        """The tree of `size` leaves, from its tiles (`fetch` as of TileReader; raises what TileReader raises).

        Nothing but the length of the tiles is checked: compare `root()` with a root that is trusted.
        """
        tree, reader, level = cls(), TileReader(fetch, size), 0
        tree._size = size
        while size >> TILE_LEVELS * level:
            index, width = divmod(size >> TILE_LEVELS * level, TILE_WIDTH)
            tree._edge.append(list(reader.tile(level, index)) if width else [])
            level += 1
        return tree

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        return fold(self._subtrees())

    def compact_range(self) -> CompactRange:
        """The same tree, reduced to one hash for each bit set in its size."""
        return CompactRange(self._size, self._subtrees())

    def extend(self, leaves: Sequence[bytes]) -> dict[TilePath, bytes]:
        """Add leaves by their hashes. Gives the tiles that the tree did not have before, with their content."""
        since = self._size
        tiles: dict[TilePath, bytes] = {}
        for start in range(0, len(leaves), _CHUNK):
            tiles |= self._fill(list(leaves[start : start + _CHUNK]))
        for tile in tiles_for(self._size, since):
            if tile != tile.full and tile.level is not None:
                tiles[tile] = b"".join(self._edge[tile.level])
        return tiles

    def _fill(self, hashes: list[bytes]) -> dict[TilePath, bytes]:
        """Level by level: what was at the edge, then the new hashes. Gives the tiles that are full now."""
        tiles: dict[TilePath, bytes] = {}
        size, level = self._size, 0
        self._size += len(hashes)
        while hashes:
            if level == len(self._edge):
                self._edge.append([])
            hashes = self._edge[level] + hashes
            filled = len(hashes) - len(hashes) % TILE_WIDTH
            hashes, self._edge[level] = hashes[:filled], hashes[filled:]
            first = size // TILE_WIDTH
            for number in range(filled // TILE_WIDTH):
                content = hashes[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
                tiles[TilePath(level, first + number)] = b"".join(content)
            for _ in range(TILE_LEVELS):
                hashes = parents(hashes)
            size, level = size // TILE_WIDTH, level + 1
        return tiles

    def _subtrees(self) -> list[bytes]:
        """Roots of the perfect subtrees that make up the tree, left to right."""
        subtrees = []
        for edge in reversed(self._edge):
            start = 0
            for height in reversed(range(TILE_LEVELS)):
                if len(edge) >> height & 1:
                    subtrees.append(perfect_root(edge[start : start + (1 << height)]))
                    start += 1 << height
        return subtrees
