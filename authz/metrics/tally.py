"""What one kind of decision or request has come to since it was last carried over into the metrics.

Counting is the hot path and reading is not, so counting touches one small object and no metric: a number, a sum and one
bucket. What that means for a dozen series is worked out when somebody reads them.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.samples import Exemplar

from authz.exposition import Counter, Histogram
from authz.metrics.registry import BUCKETS_SECONDS

EXEMPLAR_SECONDS: Final = 0.1
"""What took longer than this is worth an exemplar, sampled or not."""

_MOST_FILLED: Final = 200
_BUCKETS: Final = len(BUCKETS_SECONDS) + 1


class Tally:
    """All that one kind of decision or request counts into. `answers`: it is an allow or a denial that left."""

    __slots__ = ("_buckets", "_counters", "_exemplars", "_histograms", "_seconds", "answers", "count")

    def __init__(self, counters: Sequence[Counter], histograms: Sequence[Histogram], *, answers: bool = False) -> None:
        self.count = 0
        self.answers = answers
        self._counters = counters
        self._histograms = histograms
        self._seconds = 0.0
        self._buckets = [0] * _BUCKETS
        self._exemplars: dict[int, tuple[str, str | None, float, float]] = {}

    def add(self, seconds: float, times: int = 1) -> None:
        """Count one, or so many, that took so long."""
        self.count += times
        self._seconds += seconds * times
        self._buckets[bisect_left(BUCKETS_SECONDS, seconds)] += times

    def point_at(self, decision_id: str, trace_id: str | None, seconds: float) -> None:
        """Have the bucket of `seconds` name this decision as its example; the last one named stays."""
        bucket = bisect_left(BUCKETS_SECONDS, seconds)
        self._exemplars[bucket] = (decision_id, trace_id, seconds, time.time())

    def take(self) -> "Tally":
        """Everything so far, as a tally of its own; this one starts again at nothing."""
        taken = Tally(self._counters, self._histograms)
        taken.count, taken._seconds = self.count, self._seconds
        taken._buckets, taken._exemplars = self._buckets, self._exemplars
        self.count, self._seconds, self._buckets, self._exemplars = 0, 0.0, [0] * _BUCKETS, {}
        return taken

    def carry_over(self) -> None:
        """Add what was counted to the metrics."""
        for counter in self._counters:
            counter.inc(self.count)
        exemplars = {bucket: _exemplar(*found) for bucket, found in self._exemplars.items()}
        for histogram in self._histograms:
            histogram.add(self._buckets, self._seconds, exemplars)


class Tallies:
    """The tallies that hold something, and how they get into the metrics."""

    def __init__(self) -> None:
        self._filled: list[Tally] = []

    def filled(self, tally: Tally) -> None:
        """Called when a tally gets its first count."""
        self._filled.append(tally)

    @property
    def too_many(self) -> bool:
        """Whether it is time to carry over before more kinds come: what nobody reads must not grow."""
        return len(self._filled) >= _MOST_FILLED

    @property
    def answers(self) -> int:
        """How many allows and denials have not been carried over yet."""
        return sum(tally.count for tally in self._filled if tally.answers)

    def carry_over(self) -> Iterator[None]:
        """Take everything at this one moment, then add it to the metrics, a tally at each step."""
        filled, self._filled = self._filled, []
        taken = deque(tally.take() for tally in filled)
        try:
            while taken:
                taken.popleft().carry_over()
                yield
        finally:  # A reader who gives up half-way must not cost counts.
            for tally in taken:
                tally.carry_over()


def _exemplar(decision_id: str, trace_id: str | None, seconds: float, at: float) -> Exemplar:
    labels = {"decision_id": decision_id} if trace_id is None else {"decision_id": decision_id, "trace_id": trace_id}
    return Exemplar(labels, seconds, at)
