"""A whole log in one file, most of it withheld: what an evidence package holds of a stream.

Each row is a record exactly as it was written, or `<level> <hash>`: the root over 2**level records that are withheld,
the next ones in the tree. The rows together make up the whole tree, so that one pass over them gives its root, and
nothing in the file can be changed, moved, added or left out without giving another one.
"""

from collections.abc import Iterator
from typing import IO

from authz.tlog import HashReader, node_hash


def subtrees(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The fewest perfect subtrees that hold the leaves from `low` up to `high`: (level, index), left to right."""
    while low < high:
        level = (high - low).bit_length() - 1
        if low:
            level = min(level, (low & -low).bit_length() - 1)
        yield level, low >> level
        low += 1 << level


class RedactedLog:
    """Writes such a file from left to right. `edge`: a size at which a row has to end, so that its root is shown too.

    With `compact` a stretch of withheld records becomes a few rows; else each of those between two records that are
    shown has a row of its own, its leaf hash.
    """

    def __init__(self, file: IO[bytes], hashes: HashReader, *, edge: int = 0, compact: bool = False) -> None:
        self.shown = 0
        self._file = file
        self._hashes = hashes
        self._edge = edge
        self._compact = compact
        self._size = 0
        self._run: list[tuple[int, bytes]] = []
        """Withheld since the last row; only `compact` keeps any."""
        self._end = 0
        """Where in the file, and at which leaf, the last record that is shown ends."""
        self._end_size = 0

    def show(self, index: int, line: bytes) -> None:
        """The record at this index; the first one comes after all that stands before it. Raises OSError, TlogError."""
        if not self.shown:
            self._skip_to(index)
        self._flush()
        self._file.write(line + b"\n")
        self._size += 1
        self.shown += 1
        self._end, self._end_size = self._file.tell(), self._size

    def withhold(self, leaf: bytes) -> None:
        """The next record after one that is shown, by its leaf hash. Raises OSError."""
        self._run.append((0, leaf))
        self._size += 1
        while self._compact and len(self._run) > 1 and self._run[-1][0] == self._run[-2][0] and self._is_aligned():
            (level, left), (_, right) = self._run[-2:]
            self._run[-2:] = [(level + 1, node_hash(left, right))]
        if not self._compact or self._size == self._edge:
            self._flush()

    def finish(self, size: int) -> None:
        """End the log at this size: what follows the last record that is shown becomes a few rows.

        Raises OSError, TlogError.
        """
        self._run.clear()
        self._file.seek(self._end)
        self._file.truncate()
        self._size = self._end_size
        self._skip_to(size)

    def _is_aligned(self) -> bool:
        """Whether the last two subtrees of the run, of the same level, are the two halves of one."""
        return self._size % (2 << self._run[-1][0]) == 0

    def _skip_to(self, index: int) -> None:
        """Withhold everything up to this index, by the hashes of the signed tree."""
        between = self._edge if self._size < self._edge < index else index
        for low, high in ((self._size, between), (between, index)):
            for level, at in subtrees(low, high):
                self._row(level, self._hashes.subtree_root(level, at))
        self._size = index

    def _flush(self) -> None:
        for level, digest in self._run:
            self._row(level, digest)
        self._run.clear()

    def _row(self, level: int, digest: bytes) -> None:
        self._file.write(b"%d %b\n" % (level, digest.hex().encode()))
