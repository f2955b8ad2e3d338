"""How many checks share an evaluation, and with it one deadline and one failure."""

from collections.abc import Iterator
from typing import Final

BATCH_ITEMS: Final = 64
"""The most checks in one evaluation: each costs what it would among 256, and others wait 0.7 ms for a turn, not 3."""

_FEWEST: Final = 8
"""Fewer are evaluated alone."""

_GOOD: Final = 100
"""After so many that did not fail it is tried with twice as many."""


class Company:
    """Fewer after an evaluation that failed, more again after many that did not.

    Checks that are slow together, or one that somebody makes to loop, cost everybody a deadline: not every time.
    """

    def __init__(self) -> None:
        self.most = BATCH_ITEMS
        self._good = 0

    def parts(self, checks: list[bytes]) -> Iterator[list[bytes]]:
        """The checks in order, in pieces of `most`; all of them at once where each is to be evaluated alone."""
        size = self.most if self.most > 1 else len(checks)
        for start in range(0, len(checks), size):
            yield checks[start : start + size]

    def failed(self, together: int) -> None:
        """An evaluation of so many had no answer that can be used."""
        self._good = 0
        self.most = min(self.most, together // 2 if together >= 2 * _FEWEST else 1)

    def worked(self) -> None:
        """As many as were wanted were evaluated without that."""
        if self.most == BATCH_ITEMS:
            return
        self._good += 1
        if self._good == _GOOD:
            self._good, self.most = 0, max(_FEWEST, 2 * self.most)
