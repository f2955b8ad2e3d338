"""Where tiles are (https://c2sp.org/tlog-tiles): a tree as files of up to 256 hashes, its entries in as many bundles.

    tile/<level>/<index>[.p/<width>]      tile/entries/<index>[.p/<width>]

Hash i of the tile `index` at level L is the root over 256**L leaves, from leaf (index * 256 + i) * 256**L on. Tiles
with fewer than 256 hashes are at the right edge only; nothing above them counts their hashes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from authz.tlog.errors import MalformedError
from authz.tlog.strict import MAX_SIZE

TILE_WIDTH: Final = 256
"""Hashes of a full tile, entries of a full bundle."""

TILE_LEVELS: Final = 8
"""Levels of the tree from one level of tiles to the next: 256 = 2**8."""

_MOST_LEVEL: Final = 63
_LEVEL = r"(?P<level>entries|0|[1-9][0-9]?)"
_INDEX = r"(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
_WIDTH = r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
_PATH: Final = re.compile(f"tile/{_LEVEL}/{_INDEX}{_WIDTH}")


@dataclass(frozen=True, slots=True)
class TilePath:
    """Which tile: `level` None is an entry bundle. `str()` is its path under the log's."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        """Raises MalformedError when there can be no such tile."""
        level = 0 if self.level is None else self.level
        if not (0 <= level <= _MOST_LEVEL and 0 <= self.index <= MAX_SIZE and 1 <= self.width <= TILE_WIDTH):
            raise MalformedError(f"tile: there is none with level {level}, index {self.index}, width {self.width}")

    @property
    def full(self) -> "TilePath":
        """The same tile when all its 256 hashes are there."""
        return TilePath(self.level, self.index)

    def __str__(self) -> str:
        groups, rest = [f"{self.index % 1000:03}"], self.index // 1000
        while rest:
            groups, rest = [f"x{rest % 1000:03}", *groups], rest // 1000
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{'/'.join(groups)}{suffix}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile of hashes."""
    return str(TilePath(level, index, width))


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path of an entry bundle."""
    return str(TilePath(None, index, width))


def read_tile_path(path: str) -> TilePath:
    """From a path without a leading slash. Raises MalformedError for every other way to write it."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise MalformedError(f"tile path: {path[:100]!r} is none")
    level = None if found["level"] == "entries" else int(found["level"])
    index = int(found["index"].replace("x", "").replace("/", ""))
    tile = TilePath(level, index, int(found["width"] or TILE_WIDTH))
    if str(tile) != path:
        raise MalformedError(f"tile path: {path[:100]!r} is none")
    return tile


def tiles_for(size: int, since: int = 0) -> Iterator[TilePath]:
    """The tiles of hashes that a tree of `size` leaves has and the same tree with `since` leaves did not have.

    Entry bundles have the indexes and widths of level 0. Level by level, left to right.
    """
    level = 0
    while size:
        for index in range(since // TILE_WIDTH, size // TILE_WIDTH):
            yield TilePath(level, index)
        if size % TILE_WIDTH and size != since:
            yield TilePath(level, size // TILE_WIDTH, size % TILE_WIDTH)
        size, since, level = size // TILE_WIDTH, since // TILE_WIDTH, level + 1
