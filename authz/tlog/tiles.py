"""Reading tiles: the hashes of a tree for whoever makes proofs."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from authz.tlog.errors import MalformedError, ProofError, TileMissingError
from authz.tlog.merkle import parents
from authz.tlog.strict import HASH_BYTES
from authz.tlog.tile_paths import TILE_WIDTH, TilePath

_TILE_LEVELS: Final = 8
"""Levels of the tree from one level of tiles to the next: 256 = 2**8."""


class TileReader:
    """The hashes of the tree of `size` leaves, from its tiles; of use for making proofs, which are then verified.

    `fetch` gives the bytes of a path and raises TileMissingError when there is none; other errors go through. Keeps
    the last tiles it read.
    """

    def __init__(self, fetch: Callable[[str], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._tile = lru_cache(maxsize=64)(self._read)

    def subtree_root(self, level: int, index: int) -> bytes:
        """Raises ProofError for a subtree that is not in the tree, TileMissingError, MalformedError for a bad tile."""
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise ProofError(f"a tree of {self._size} leaves has no complete subtree {index} at level {level}")
        tile_level, height = divmod(level, _TILE_LEVELS)
        tile_index, start = divmod(index << height, TILE_WIDTH)
        hashes = self._tile(tile_level, tile_index)[start : start + (1 << height)]
        while len(hashes) > 1:
            hashes = parents(hashes)
        return hashes[0]

    def _read(self, level: int, index: int) -> list[bytes]:
        width = min(TILE_WIDTH, (self._size >> (_TILE_LEVELS * level)) - index * TILE_WIDTH)
        tile = TilePath(level, index, width)
        try:
            return read_tile(self._fetch(str(tile)), width)
        except TileMissingError:
            if tile == tile.full:
                raise
        return read_tile(self._fetch(str(tile.full)), TILE_WIDTH)[:width]


def read_tile(data: bytes, width: int) -> list[bytes]:
    """The hashes of a tile. Raises MalformedError when they are not `width`."""
    if len(data) != width * HASH_BYTES:
        raise MalformedError(f"tile: {len(data)} bytes where {width} hashes belong")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
