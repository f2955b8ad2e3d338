"""Reading tiles: the hashes of a tree for whoever makes proofs."""

from collections.abc import Callable
from functools import lru_cache, partial

from authz.tlog.errors import MalformedError, ProofError, TileMissingError
from authz.tlog.merkle import perfect_root
from authz.tlog.strict import HASH_BYTES
from authz.tlog.tile_paths import TILE_LEVELS, TILE_WIDTH, TilePath


class TileReader:
    """The hashes of the tree of `size` leaves, from its tiles; of use for making proofs, which are then verified.

    `fetch` gives the bytes of a path and raises TileMissingError when there is none; other errors go through. Keeps
    the last tiles it read.
    """

    def __init__(self, fetch: Callable[[str], bytes], size: int) -> None:
        self._size = size
        self._tile = lru_cache(maxsize=64)(partial(_read, fetch, size))

    def subtree_root(self, level: int, index: int) -> bytes:
        """Raises ProofError for a subtree that is not in the tree, TileMissingError, MalformedError for a bad tile."""
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise ProofError(f"a tree of {self._size} leaves has no complete subtree {index} at level {level}")
        tile_level, height = divmod(level, TILE_LEVELS)
        tile_index, start = divmod(index << height, TILE_WIDTH)
        return perfect_root(self.tile(tile_level, tile_index)[start : start + (1 << height)])

    def tile(self, level: int, index: int) -> tuple[bytes, ...]:
        """The hashes that a tile of this tree holds. Raises TileMissingError, MalformedError when they are too few."""
        return self._tile(level, index)


def read_tile(data: bytes, width: int) -> list[bytes]:
    """The hashes of a tile. Raises MalformedError when they are not `width`."""
    if len(data) != width * HASH_BYTES:
        raise MalformedError(f"tile: {len(data)} bytes where {width} hashes belong")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _read(fetch: Callable[[str], bytes], size: int, level: int, index: int) -> tuple[bytes, ...]:
    """A tile of the tree of `size` leaves: as wide as it was at that size, or the beginning of the full one."""
    width = 0 if level < 0 else min(TILE_WIDTH, (size >> TILE_LEVELS * level) - TILE_WIDTH * index)
    if index < 0 or width < 1:
        raise TileMissingError(f"a tree of {size} leaves has no tile {index} at level {level}")
    tile = TilePath(level, index, width)
    try:
        return tuple(read_tile(fetch(str(tile)), width))
    except TileMissingError:
        if tile == tile.full:
            raise
    return tuple(read_tile(fetch(str(tile.full)), TILE_WIDTH)[:width])
