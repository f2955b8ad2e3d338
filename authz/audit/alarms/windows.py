"""What the rules remember: few things about each of many subjects, bounded whatever happens."""

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple


class Seen(NamedTuple):
    """When something was last seen, and in which decision."""

    at: float
    id: str


Rows = dict[str, dict[str, Seen]]


class Windows:
    """For each key the distinct values of the last `window_seconds`, at most `threshold` of them.

    Of more than `most` keys the one that was quiet for longest is forgotten; `forgotten` counts those that were
    forgotten before their window was over.
    """

    def __init__(self, threshold: int, window_seconds: float, most: int) -> None:
        self.threshold = threshold
        self.window_seconds = window_seconds
        self.forgotten = 0
        self._most = most
        self._rows: Rows = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, key: str, value: str, seen: Seen) -> dict[str, Seen] | None:
        """Note a value; all of the key's values, the oldest first, if there are `threshold` of them now."""
        since = seen.at - self.window_seconds
        self._drop(since)
        values = self._rows.pop(key, {})
        values.pop(value, None)
        while values and (len(values) >= self.threshold or values[next(iter(values))].at < since):
            del values[next(iter(values))]
        values[value] = seen
        self._rows[key] = values
        if len(self._rows) > self._most:
            del self._rows[next(iter(self._rows))]
            self.forgotten += 1
        return values if len(values) >= self.threshold else None

    def rows(self) -> Rows:
        """All of it, to be kept."""
        return self._rows

    def restore(self, rows: Mapping[str, Mapping[str, Seen]]) -> None:
        """Go on from what was kept."""
        kept = islice(rows.items(), max(0, len(rows) - self._most), None)
        self._rows = {key: dict(values) for key, values in kept}

    def _drop(self, since: float) -> None:
        """Keys stand in the order in which they were last heard of, so what is over stands in front."""
        rows = self._rows
        while rows:
            key = next(iter(rows))
            if next(reversed(rows[key].values())).at >= since:
                return
            del rows[key]


class Firsts:
    """What was seen before: for the first time, or not. Of more than `most` the one unseen for longest is forgotten."""

    def __init__(self, most: int) -> None:
        self.forgotten = 0
        self._most = most
        self._keys: dict[str, None] = {}
        self._news: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def first(self, key: str) -> bool:
        """Whether the key is new. It is not any more."""
        known = key in self._keys
        self._keys.pop(key, None)
        self._keys[key] = None
        if known:
            return False
        self._news[key] = True
        if len(self._keys) > self._most:
            oldest = next(iter(self._keys))
            del self._keys[oldest]
            self._news[oldest] = False
            self.forgotten += 1
        return True

    def news(self) -> dict[str, bool]:
        """What was learned (true) and forgotten since the last call."""
        news, self._news = self._news, {}
        return news

    def restore(self, keys: list[str]) -> None:
        """Go on from what was kept, the oldest first."""
        self._keys = dict.fromkeys(keys[-self._most :])
