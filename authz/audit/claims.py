"""What is held against a stream: that with so many records its tree had this root."""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Final, Literal, NamedTuple

ClaimSource = Literal["checkpoint", "rollup", "since", "remembered"]
"""The checkpoint beside the stream; a roll-up record of the node; one that was handed over; one that was seen before.

The last two lie where whoever can write to the ledger may not be able to write.
"""


_NAMED: Final = {
    "checkpoint": "the checkpoint",
    "rollup": "the node's roll-up",
    "since": "the checkpoint kept elsewhere",
    "remembered": "the checkpoint that was remembered",
}


class Claim(NamedTuple):
    """`where`: the file or record that makes it. `key`: the vkey it is signed with, None where that is not known."""

    size: int
    root: bytes
    source: ClaimSource
    where: str
    key: str | None

    @property
    def elsewhere(self) -> bool:
        """Whether it was kept where the ledger is not."""
        return self.source in ("since", "remembered")

    def __str__(self) -> str:
        return f"{_NAMED[self.source]} ({self.where})"


class Claims:
    """All that is claimed of one stream, by size; it can be gone through again.

    `few` are in memory in any order, `many` come by size from wherever they are.
    """

    def __init__(self, few: Iterable[Claim], many: Callable[[], Iterator[Claim]]) -> None:
        self._few = sorted(few, key=_size)
        self._many = many

    def __iter__(self) -> Iterator[Claim]:
        return merge(self._few, self._many(), key=_size)


def _size(claim: Claim) -> int:
    return claim.size
