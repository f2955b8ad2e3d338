"""Which requests have been spent for already: a gateway's retry is the same request."""

from collections import OrderedDict


class Retries:
    """Remembers keys for `window_ns`, at most `capacity` of them; the oldest gives way, and a retry then counts."""

    def __init__(self, window_ns: int, capacity: int = 65_536) -> None:
        self._window = window_ns
        self._capacity = capacity
        self._until: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def seen(self, key: int, now: int) -> bool:
        """Whether the key was remembered within the window."""
        until = self._until.get(key)
        return until is not None and now < until

    def remember(self, key: int, now: int) -> None:
        """From now on, for the window."""
        while self._until and (len(self._until) >= self._capacity or next(iter(self._until.values())) <= now):
            self._until.popitem(last=False)
        self._until[key] = now + self._window
