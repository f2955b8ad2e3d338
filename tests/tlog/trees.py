"""What the tests of trees share: RFC 6962's definitions word by word, a tree in memory, and the published vectors."""

from functools import cache
from hashlib import sha256

from authz.tlog import CompactRange, TiledTree, TileMissingError, leaf_hash, leaf_hashes

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves that most implementations of RFC 6962 test with."""

ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
"""Roots of the trees over the first 0 to 8 of LEAVES."""


def line(number: int) -> bytes:
    """The entry of this number, from 0, in the larger trees."""
    return b'{"n":%d}' % number


@cache
def hashes(size: int) -> tuple[bytes, ...]:
    """Leaf hashes of the first `size` lines."""
    return tuple(leaf_hashes(map(line, range(size))))


@cache
def root(size: int) -> bytes:
    """Root over the first `size` lines."""
    return mth(hashes(size))


class MemoryTree:
    """A HashReader over leaf hashes."""

    def __init__(self, leaves: list[bytes] | tuple[bytes, ...]) -> None:
        self._leaves = leaves
        self.subtree_root = cache(self._subtree_root)

    def _subtree_root(self, level: int, index: int) -> bytes:
        part = self._leaves[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return mth(part)


class Tiles(dict[str, bytes]):
    """Tiles by path; `fetch` is that of a TileReader, and `asked` what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = TiledTree()
        self.asked: list[str] = []

    def extend(self, leaves: list[bytes] | tuple[bytes, ...]) -> None:
        """Add leaves and keep every tile there ever was."""
        self.update({str(tile): content for tile, content in self.tree.extend(leaves).items()})

    def fetch(self, path: str) -> bytes:
        """Raises TileMissingError."""
        self.asked.append(path)
        if path not in self:
            raise TileMissingError(path)
        return self[path]


def compact(leaves: list[bytes] | tuple[bytes, ...]) -> CompactRange:
    """All at once."""
    tree = CompactRange()
    tree.extend(leaves)
    return tree


def mth(leaves: list[bytes] | tuple[bytes, ...]) -> bytes:
    """RFC 6962 section 2.1: the Merkle Tree Hash over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes] | tuple[bytes, ...]) -> list[bytes]:
    """RFC 6962 section 2.1.1: PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes] | tuple[bytes, ...], *, whole: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2: SUBPROOF(m, D[n], b), for m > 0."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def largest_power_below(n: int) -> int:
    """k: the largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


VECTOR_HASHES = [leaf_hash(leaf) for leaf in LEAVES]
