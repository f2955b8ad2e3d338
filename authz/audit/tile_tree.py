"""A tree that grows from wherever it stands, gives its root at any size cheaply, and its tiles as they become full."""

from collections.abc import Iterator

from authz.tlog import TILE_LEVELS, TILE_WIDTH, CompactRange, TilePath, parents


class _Level:
    """The last, unfilled tile of one level: `tree` over its first hashes, and `hashes`.

    The first `unknown` of its hashes are in `tree` only: the tree began there.
    """

    __slots__ = ("hashes", "tree", "unknown")

    def __init__(self, hashes: list[bytes], tree: CompactRange | None = None) -> None:
        self.tree = tree or CompactRange()
        self.unknown = self.tree.size
        self.hashes = hashes

    @property
    def width(self) -> int:
        return self.unknown + len(self.hashes)

    def grown(self) -> CompactRange:
        """The tree over all hashes of the tile. Each is added once, and only when somebody asks."""
        self.tree.extend(self.hashes[self.tree.size - self.unknown :])
        return self.tree


class TileTree:
    """Begins with the leaves of `start`. Not safe across threads."""

    def __init__(self, start: CompactRange) -> None:
        self._size = start.size
        self._levels = list(_levels(start))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def compact_range(self) -> CompactRange:
        """The tree, reduced to what it takes to go on."""
        return CompactRange(self._size, [one for level in reversed(self._levels) for one in level.grown().hashes])

    def extend(self, leaves: list[bytes]) -> list[tuple[TilePath, bytes]]:
        """Add leaves by their hashes. Gives the tiles that this makes full, with their content.

        A tile in which the tree began is left out.
        """
        full: list[tuple[TilePath, bytes]] = []
        number, size = 0, self._size
        self._size += len(leaves)
        while leaves:
            if number == len(self._levels):
                self._levels.append(_Level([]))
            tops, hashes = self._complete(number, leaves)
            index = (size >> TILE_LEVELS * (number + 1)) + len(tops)
            filled = len(hashes) - len(hashes) % TILE_WIDTH
            full += [
                (TilePath(number, index + at // TILE_WIDTH), b"".join(hashes[at : at + TILE_WIDTH]))
                for at in range(0, filled, TILE_WIDTH)
            ]
            leaves, number = tops + self._rise(number, hashes, filled), number + 1
        return full

    def partial(self) -> Iterator[tuple[TilePath, bytes]]:
        """The unfilled tiles, with their content, but for those in which the tree began."""
        for number, level in enumerate(self._levels):
            if level.hashes and not level.unknown:
                index = self._size >> TILE_LEVELS * (number + 1)
                yield TilePath(number, index, len(level.hashes)), b"".join(level.hashes)

    def _complete(self, number: int, hashes: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The tile in which the tree began, if this makes it full: its root. And the hashes that go into new tiles."""
        level = self._levels[number]
        room = TILE_WIDTH - level.width
        if not level.unknown:
            return [], level.hashes + hashes
        level.hashes += hashes[:room]
        if len(hashes) < room:
            return [], []
        self._levels[number] = _Level([])
        return [level.grown().root()], hashes[room:]

    def _rise(self, number: int, hashes: list[bytes], filled: int) -> list[bytes]:
        """The hashes of a level find their place there; gives the roots of the tiles that they fill."""
        level, tops = self._levels[number], hashes[:filled]
        if filled:
            self._levels[number] = _Level(hashes[filled:])
        elif not level.unknown:
            level.hashes = hashes
        for _ in range(TILE_LEVELS):
            tops = parents(tops)
        return tops


def _levels(start: CompactRange) -> Iterator[_Level]:
    """The hashes of a compact range, shared out among the levels of tiles they stand in."""
    hashes, rest = list(start.hashes), start.size
    while rest:
        width = rest % TILE_WIDTH
        taken = len(hashes) - width.bit_count()
        yield _Level([], CompactRange(width, hashes[taken:]))
        hashes, rest = hashes[:taken], rest >> TILE_LEVELS
