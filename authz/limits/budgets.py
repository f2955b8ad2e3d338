"""Budgets by the generic cell rate algorithm (ITU-T I.371), in integer nanoseconds and bounded memory."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from authz.core import Limit

_SECOND = 1_000_000_000
_TICK_BITS = 30
"""Keys are filed for removal by ticks of 2**30 ns, about a second."""
_SHARDS = 64
"""One big table would hold the event loop up for tens of milliseconds whenever it grows."""
_SWEPT_PER_KEY = 2


class Spending(NamedTuple):
    """One use of one budget: a use is worth `interval` ns, and as many are there at once as fit `tolerance` ns."""

    key: int
    interval: int
    tolerance: int


def spending(key: int, limit: Limit) -> Spending:
    """One use under a limit. The interval is rounded up: never more than the limit says."""
    interval = -(-limit.per_seconds * _SECOND // limit.count)
    return Spending(key, interval, interval * ((limit.burst or limit.count) - 1))


class Refusal(NamedTuple):
    """Which of the spendings there was no budget for, and when there will be, in nanoseconds."""

    which: int
    wait: int


class Budgets:
    """At most `capacity` budgets. Of each only the moment is kept at which it is full again, in ns of one clock.

    A budget that is full again says nothing and is dropped, within about a second of its time. So the answers are
    exact while those that are not full fit the capacity. When they do not, the one that would be full again soonest
    is `forgotten`: its subject has its whole budget again. Keys are hashes; two that are alike share a budget.
    """

    def __init__(self, capacity: int) -> None:
        self.forgotten = 0
        self._capacity = capacity
        self._count = 0
        self._full_at: tuple[dict[int, int], ...] = tuple({} for _ in range(_SHARDS))
        self._filed: dict[int, list[int]] = {}
        self._ticks: list[int] = []

    def __len__(self) -> int:
        return self._count

    def spend_one(self, key: int, interval: int, tolerance: int, now: int) -> int:
        """As `spend`, for one budget, which is nearly always all there is: 0 if spent, else how long to wait."""
        shard = self._full_at[key & 63]
        at = shard.get(key)
        if at is None:
            self._admit(key, now + interval, now)
            shard[key] = now + interval
            return 0
        if at < now:  # noqa: PLR1730 - max() costs half as much again as all the rest
            at = now
        wait = at - now - tolerance
        if wait > 0:
            return wait
        shard[key] = at + interval
        return 0

    def spend(self, wanted: Sequence[Spending], now: int) -> Refusal | None:
        """Spend all of these, or none of them: the refusal is the one that takes longest."""
        refusal: Refusal | None = None
        full_at: list[int] = []
        for index, (key, interval, tolerance) in enumerate(wanted):
            at = self._full_at[key & 63].get(key, now)
            at = max(at, now)
            wait = at - now - tolerance
            if wait > 0 and (refusal is None or wait > refusal.wait):
                refusal = Refusal(index, wait)
            full_at.append(at + interval)
        if refusal is None:
            for (key, _, _), at in zip(wanted, full_at, strict=True):
                shard = self._full_at[key & 63]
                if key not in shard:
                    self._admit(key, at, now)
                shard[key] = at
        return refusal

    def _admit(self, key: int, full_at: int, now: int) -> None:
        """Make room for a new key, and file it for removal."""
        due = now >> _TICK_BITS
        swept = 0
        while self._ticks and self._ticks[0] < due and (swept < _SWEPT_PER_KEY or self._count >= self._capacity):
            self._look_at_first(now)
            swept += 1
        while self._count >= self._capacity:
            self._forget_first()
        self._file(key, full_at)
        self._count += 1

    def _look_at_first(self, now: int) -> None:
        """Drop the first filed key if its budget is full again; else file it anew, as it was used since."""
        key, _ = self._unfile()
        full_at = self._full_at[key & 63][key]
        if full_at <= now:
            self._drop(key)
        else:
            self._file(key, full_at)

    def _forget_first(self) -> None:
        key, tick = self._unfile()
        full_at = self._full_at[key & 63][key]
        if full_at >> _TICK_BITS > tick:
            self._file(key, full_at)
            return
        self._drop(key)
        self.forgotten += 1

    def _file(self, key: int, full_at: int) -> None:
        tick = full_at >> _TICK_BITS
        keys = self._filed.get(tick)
        if keys is None:
            keys = self._filed[tick] = []
            heapq.heappush(self._ticks, tick)
        keys.append(key)

    def _unfile(self) -> tuple[int, int]:
        tick = self._ticks[0]
        keys = self._filed[tick]
        key = keys.pop()
        if not keys:
            del self._filed[tick]
            heapq.heappop(self._ticks)
        return key, tick

    def _drop(self, key: int) -> None:
        del self._full_at[key & 63][key]
        self._count -= 1
