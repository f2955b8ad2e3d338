"""The records of a stream by their place in its tree, and its tiles where they have to be computed again."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from authz.audit.extent import Extent, lines_forward
from authz.audit.segment import first_seq
from authz.tlog import TiledTree, leaf_hash

_CHUNK = 65_536


def numbered(extents: Iterable[Extent]) -> Iterator[tuple[int, bytes]]:
    """The records of these segments with the index of the leaf that each is, without LF. Raises OSError.

    Counted, not read: that a record's own number is the same is for the tree to show.
    """
    for extent in extents:
        index = first_seq(extent.path.name) - 1
        for line in lines_forward(extent.path, extent.counted_bytes):
            if not line.endswith(b"\n"):
                break
            yield index, line[:-1]
            index += 1


def write_tiles(directory: Path, lines: Iterable[bytes]) -> None:
    """The tiles over these lines as files, so that memory stays flat. Raises OSError."""
    tree, leaves = TiledTree(), map(leaf_hash, lines)
    while chunk := list(islice(leaves, _CHUNK)):
        for tile, data in tree.extend(chunk).items():
            path = directory / str(tile)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
