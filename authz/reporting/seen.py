"""The memory of what was reported: which records there are, for as long as a caller may send an event again."""

from collections.abc import Iterable

from authz.core import Clock


class Seen:
    """Record IDs in two generations: when the newer one is old or full, the older one is forgotten.

    An ID is remembered for `window_seconds` at least, unless more than half of `most` others come in that time;
    `forgotten_early` counts those. About 100 bytes each.
    """

    def __init__(self, clock: Clock, window_seconds: float, most: int) -> None:
        self.forgotten_early = 0
        self._clock = clock
        self._window_seconds = window_seconds
        self._most = max(1, most // 2)
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()
        self._begun = clock.elapsed()

    def __contains__(self, key: bytes) -> bool:
        return key in self._newer or key in self._older

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def add(self, keys: Iterable[bytes]) -> None:
        """Remember these, the oldest first."""
        for key in keys:
            if len(self._newer) >= self._most or self._clock.elapsed() - self._begun >= self._window_seconds:
                self._turn()
            self._newer.add(key)

    def _turn(self) -> None:
        now = self._clock.elapsed()
        if now - self._begun < self._window_seconds:
            self.forgotten_early += len(self._older)
        self._older, self._newer, self._begun = self._newer, set(), now
