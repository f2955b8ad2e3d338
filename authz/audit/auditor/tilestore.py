"""The tiles of one stream on disk (https://c2sp.org/tlog-tiles), and the edge of its tree where it grows.

    <audit directory>/tiles/<stream>/tile/<level>/<index>[.p/<width>]

Full tiles are made durable. Partial ones are replaced in the next round and are not: whatever a power cut takes of
them is computed again from the segments, which are the truth. The auditor alone writes here, and a prune, which makes
durable what will not be there to be computed from.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from authz.audit.atomic import Shelf
from authz.audit.auditor.held import HeldTiles
from authz.audit.auditor.signed import Head
from authz.audit.published import fetch_tile
from authz.tlog import (
    HASH_BYTES,
    TILE_LEVELS,
    TILE_WIDTH,
    CompactRange,
    TiledTree,
    TilePath,
    TileReader,
    TlogError,
    perfect_root,
    read_tile,
    read_tile_path,
    tile_path,
)


class TileStore:
    """The tree of one stream: `append` grows it in memory, `write` puts on disk what has changed.

    After an error of any method the object is of no more use: begin again with `at` from what is on disk.
    """

    def __init__(self, directory: Path, tree: TiledTree, shelf: Shelf | None = None) -> None:
        self._directory = directory
        self._tree = tree
        self._unwritten: dict[TilePath, bytes] = {}
        self._shelf = shelf or Shelf()

    @classmethod
    def new(cls, directory: Path, shelf: Shelf | None = None) -> "TileStore":
        """The tree of a stream of which nothing was signed yet."""
        return cls(directory, TiledTree(), shelf)

    @classmethod
    def at(
        cls,
        directory: Path,
        size: int,
        root: bytes,
        edge: Callable[[int], list[bytes]],
        pruned: Callable[[], int],
        shelf: Shelf | None = None,
    ) -> "TileStore | None":
        """The tree of `size` leaves that has this root; None when tiles and records do not have it.

        `edge(first)` gives the leaf hashes from that index to the end of the tree, from the records: partial tiles
        are not made durable, and after a power cut the tree is put together without them, and they with it. `pruned`
        gives how many records there are no more at its beginning. Raises OSError.
        """
        on_disk, made = partial(fetch_tile, directory), _without_partials(directory, edge, pruned)
        for fetch in (on_disk, made):
            try:
                tree = TiledTree.read(fetch, size)
            except TlogError:
                continue
            if tree.root() == root:
                store = cls(directory, tree, shelf)
                if fetch is made:
                    store._unwritten = {tile: made(str(tile)) for tile in _partials(size)}
                    store.write()
                return store
        return None

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._tree.size

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaves by their hashes. Nothing is written yet."""
        self._unwritten |= self._tree.extend(leaves)

    def compact_range(self) -> CompactRange:
        """The tree, reduced to what it takes to go on."""
        return self._tree.compact_range()

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        return self._tree.root()

    def last_leaf(self, edge: Callable[[int], list[bytes]]) -> bytes:
        """The hash of the last leaf as it was signed; `edge` as in `at`. Raises TlogError, OSError.

        In a full tile it is not what the root was just made of, so that tile has to lead there.
        """
        index = self.size - 1
        if self.size % TILE_WIDTH == 0:
            return HeldTiles(self._directory, Head(self.size, self.root())).leaf(index)
        try:
            return self.reader().subtree_root(0, index)
        except TlogError:  # its tile is a partial one that a power cut took, and the root was made of these records
            return edge(index)[-1]

    def write(self) -> None:
        """Put what is not on disk yet there. Raises OSError."""
        paths = {self._directory / str(tile): data for tile, data in self._unwritten.items()}
        full = {self._directory / str(tile) for tile in self._unwritten if tile == tile.full}
        for path, data in paths.items():
            if not path.parent.is_dir():
                self._shelf.make_directory(path.parent, durable=path in full)
            if path not in full:
                self._shelf.put(path, data, durable=False)
        self._shelf.put_all({path: paths[path] for path in full})
        for directory in {path.parent for path in full}:
            self._shelf.sync_directory(directory)
        self._unwritten.clear()

    def drop_partials(self, since: int) -> None:
        """Remove the partial tiles that became full since the tree had `since` leaves. Raises OSError."""
        before, now, level = since >> TILE_LEVELS, self.size >> TILE_LEVELS, 0
        while now:
            for index in range(before, now):
                self._shelf.remove_directory(self._directory / f"{TilePath(level, index)}.p")
            before, now, level = before >> TILE_LEVELS, now >> TILE_LEVELS, level + 1

    def reader(self) -> TileReader:
        """The hashes of the tree, from the tiles on disk: only of what was written."""
        return TileReader(lambda path: fetch_tile(self._directory, path), self.size)


def _partials(size: int) -> Iterator[TilePath]:
    """The partial tiles of a tree of `size` leaves: at most one at each level."""
    level = 0
    while size:
        index, width = divmod(size, TILE_WIDTH)
        if width:
            yield TilePath(level, index, width)
        size, level = index, level + 1


def _without_partials(
    directory: Path, edge: Callable[[int], list[bytes]], pruned: Callable[[], int]
) -> Callable[[str], bytes]:
    """Tiles as far as they were made durable: partial ones are made from the full ones below, or from the records."""

    def fetch(path: str) -> bytes:
        tile = read_tile_path(path)
        if tile == tile.full or tile.level is None:
            return fetch_tile(directory, path)
        kept = _kept(directory, tile.level, tile.index, pruned())
        first = tile.index * TILE_WIDTH
        start = first + len(kept) // HASH_BYTES
        if tile.level == 0:
            return kept + b"".join(edge(start))
        below = (TilePath(tile.level - 1, index) for index in range(start, first + tile.width))
        made = (perfect_root(read_tile(fetch_tile(directory, str(each)), TILE_WIDTH)) for each in below)
        return kept + b"".join(made)

    return fetch


def _kept(directory: Path, level: int, index: int, pruned: int) -> bytes:
    """What the last prune made durable of a tile because what it was made from is gone; of other tiles nothing."""
    edge, width = divmod(pruned >> TILE_LEVELS * level, TILE_WIDTH)
    return fetch_tile(directory, tile_path(level, index, width)) if width and edge == index else b""
