"""Tiles that are held to the root that was signed: each full one hashes into its place in the tile above it."""

from functools import lru_cache
from pathlib import Path

from authz.audit.auditor.signed import Head
from authz.audit.published import fetch_tile
from authz.tlog import TILE_WIDTH, ProofError, TileReader, perfect_root, tree_root


class HeldTiles:
    """The leaf hashes of a published tree, believed only where they lead to its signed root.

    Every method raises ProofError where they do not, TlogError for a tile that is missing or malformed, OSError.
    """

    def __init__(self, directory: Path, head: Head) -> None:
        """The tiles at the growing edge are what the root is made of: they are read here."""
        self._reader = TileReader(lambda path: fetch_tile(directory, path), head.size)
        self._tile = lru_cache(maxsize=64)(self._read)
        if tree_root(head.size, self._reader) != head.root:
            raise ProofError("The tiles do not make the tree that was signed")

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf."""
        return self._tile(0, index // TILE_WIDTH)[index % TILE_WIDTH]

    def _read(self, level: int, index: int) -> tuple[bytes, ...]:
        tile = self._reader.tile(level, index)
        if len(tile) == TILE_WIDTH:
            above = self._tile(level + 1, index // TILE_WIDTH)[index % TILE_WIDTH]
            if perfect_root(tile) != above:
                raise ProofError(f"Tile {index} of level {level} is not the one of which the signed tree was made")
        return tile
