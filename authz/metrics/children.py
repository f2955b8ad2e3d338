"""The children of one metric, as far as the catalogue and a cap let there be any."""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from authz.exposition import Counter, Histogram
from authz.metrics.labels import Labels
from authz.metrics.registry import METRIC_LABEL_OVERFLOW_TOTAL

_Metric = TypeVar("_Metric", Counter, Histogram)


class Children(Generic[_Metric]):
    """The children of one metric: those of the active catalogue, up to the metric's cap, all made at zero."""

    def __init__(self, metric: _Metric) -> None:
        self._metric: _Metric = metric
        self._overflow = METRIC_LABEL_OVERFLOW_TOTAL.labels(metric.registered_name)
        self._known: frozenset[Labels] = frozenset()

    def make(self, wanted: Iterable[Labels]) -> Generator[None, None, frozenset[Labels]]:
        """Make what there is not of these, the first ones if they are too many, one a step; return which."""
        kept = dict.fromkeys(islice(_distinct(wanted), self._metric.max_children))
        # Those of the catalogue before may be as many again, until they are dropped.
        for labels in kept:
            self._metric.make(labels)
            yield
        return frozenset(kept)

    def know(self, kept: frozenset[Labels]) -> None:
        """Count under these from now on. They have been made."""
        self._known = kept

    def drop_others(self) -> Iterator[None]:
        """Drop those that are not counted under any more, one child a step; the others keep their counts."""
        for labels in set(self._metric.label_sets()).difference(self._known):
            self._metric.remove(*labels)
            yield

    def first(self, counters: list[Counter], *candidates: Labels) -> _Metric:
        """The first candidate there is; if that is not the very first, `counters` gets the overflow counter too."""
        found = next(labels for labels in candidates if labels in self._known)
        if found != candidates[0]:
            counters.append(self._overflow)
        child: _Metric = self._metric.labels(*found)
        return child


def _distinct(wanted: Iterable[Labels]) -> Iterator[Labels]:
    seen: set[Labels] = set()
    for labels in wanted:
        if labels not in seen:
            seen.add(labels)
            yield labels
