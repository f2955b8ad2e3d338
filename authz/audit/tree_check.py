"""The tree over a stream's records, grown beside the check of its chain and held to what was signed of it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from authz.audit.claims import Claim
from authz.audit.findings import Findings, Place
from authz.audit.tile_tree import TileTree
from authz.tlog import HASH_BYTES, TILE_WIDTH, CompactRange, TilePath

_MOST_CHANGED: Final = 8
"""More leaves of one tile than this are not the records' own: they have moved, and every later one has."""


class TreeCheck:
    """Records go in by their leaf hashes, in their order; findings come out.

    `claims` come by size. `tiles` is the directory of the published tree, None where there is none. `locate` gives the
    place of a record by its index. `covered` is the largest claim under a known key that the records agree with.
    """

    def __init__(
        self,
        start: CompactRange,
        claims: Iterable[Claim],
        tiles: Path | None,
        findings: Findings,
        locate: Callable[[int], Place],
    ) -> None:
        self.covered: Claim | None = None
        self._tree = TileTree(start)
        self._claims = iter(claims)
        self._tiles = tiles
        self._findings = findings
        self._locate = locate
        self._agreed = {False: 0, True: 0}
        """The largest size agreed with, by claims made here and by those kept elsewhere: a forger signs here anew."""
        self._disputed: set[bool] = set()
        self._changed: list[int] = []
        self._damaged: list[TilePath] = []
        self._moved = False
        self._stopped = False
        self._next = next(self._claims, None)
        while self._next is not None and self._next.size < start.size:
            self._next = next(self._claims, None)
        self._judge()

    @property
    def size(self) -> int:
        """Number of records that went in."""
        return self._tree.size

    @property
    def disputed(self) -> bool:
        """Whether some claim is not of these records."""
        return bool(self._disputed)

    @property
    def wants(self) -> bool:
        """Whether there is anything left to compare records with."""
        return not self._stopped and (self._next is not None or self._tiles is not None)

    def extend(self, leaves: list[bytes]) -> None:
        """The next records, by their leaf hashes."""
        at = 0
        while at < len(leaves):
            end = len(leaves) if self._next is None else at + self._next.size - self._tree.size
            part = leaves[at:end]
            for tile, content in self._tree.extend(part):
                self._compare(tile, content)
            at += len(part)
            self._judge()

    def stop(self) -> None:
        """Records are missing here and nobody knows how many: later ones have no place in the tree."""
        self._stopped = True

    def end(self, last_seq: int, last: Place) -> None:
        """No more records: whatever is claimed beyond them is missing. `last`: where the last one stands."""
        for claim in self._remaining():
            if claim.size > last_seq and claim.elsewhere not in self._disputed:
                missing = f"{claim} is of {claim.size}, the last one there is {last_seq}"
                self._findings.issue("stream_cut", last, f"Records are missing at the end: {missing}")
        self._settle(agreed=False)

    def _remaining(self) -> Iterator[Claim]:
        """The largest claim of those here, and of those elsewhere: it says all that the others say."""
        largest = {} if self._next is None else {self._next.elsewhere: self._next}
        largest.update((claim.elsewhere, claim) for claim in self._claims)
        yield from largest.values()

    def _judge(self) -> None:
        """All claims of the size that the tree has now."""
        root = None
        while self._next is not None and self._next.size == self._tree.size:
            claim = self._next
            root = root or self._tree.compact_range().root()
            if claim.source == "checkpoint":
                for tile, content in self._tree.partial():
                    self._compare(tile, content)
            if claim.root == root:
                self._agree(claim)
            elif claim.elsewhere not in self._disputed:
                self._disputed.add(claim.elsewhere)
                self._dispute(claim)
            self._next = next(self._claims, None)

    def _agree(self, claim: Claim) -> None:
        self._agreed[claim.elsewhere] = claim.size
        if claim.key is not None and (self.covered is None or claim.size > self.covered.size):
            self.covered = claim
        self._settle(agreed=True)

    def _dispute(self, claim: Claim) -> None:
        self._settle(agreed=False)
        agreed = self._agreed[claim.elsewhere]
        since = f"; up to record {agreed} they are" if agreed else ""
        what = f"Records up to {claim.size} are not those that {claim} is of: one or more were changed{since}"
        self._findings.issue("root_mismatch", self._locate(max(claim.size, 1) - 1), what)

    def _settle(self, *, agreed: bool) -> None:
        """Tiles that are not those of the records: with a signed root on the records' side, the tile is at fault."""
        if agreed:
            self._moved = False
            for tile in self._damaged:
                what = f"{tile} is not the records' own, which are as they were signed"
                self._findings.note("tile_damaged", Place(), what)
        else:
            for index in self._changed:
                what = "This is not the record that the tree was made of, or the tree's tile was changed"
                self._findings.issue("record_changed", self._locate(index), what)
        self._damaged.clear()
        self._changed.clear()

    def _compare(self, tile: TilePath, content: bytes) -> None:
        """The tile on disk, if there is one, with what it should be."""
        if self._tiles is None or self._moved:
            return
        try:
            found = (self._tiles / str(tile)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            self._damaged.append(tile)
            return
        if found != content:
            self._differs(tile, found, content)

    def _differs(self, tile: TilePath, found: bytes, content: bytes) -> None:
        if tile.level == 0:
            others = [at for at in range(tile.width) if _hash(found, at) != _hash(content, at)]
            self._moved = len(others) > _MOST_CHANGED
            first = tile.index * TILE_WIDTH
            self._changed += [first + at for at in (others[:1] if self._moved else others)]
        self._damaged.append(tile)


def _hash(tile: bytes, at: int) -> bytes:
    return tile[at * HASH_BYTES : (at + 1) * HASH_BYTES]
