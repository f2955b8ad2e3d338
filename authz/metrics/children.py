"""The children of one metric, as far as the catalogue and a cap let there be any."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Generic, TypeVar

from authz.exposition import Counter, Histogram
from authz.metrics.labels import Labels
from authz.metrics.registry import METRIC_LABEL_OVERFLOW_TOTAL

_Inc = Callable[[], None]
_Metric = TypeVar("_Metric", Counter, Histogram)


class Children(Generic[_Metric]):
    """The children of one metric: those of the active catalogue, up to a cap, all made at zero."""

    def __init__(self, metric: _Metric, at_most: int) -> None:
        self._metric: _Metric = metric
        self._at_most = at_most
        self._overflow = METRIC_LABEL_OVERFLOW_TOTAL.labels(metric.registered_name)
        self._known: frozenset[Labels] = frozenset()

    def bind(self, wanted: Iterable[Labels]) -> None:
        """Have exactly these children, the first ones if they are too many. Those that stay keep their counts."""
        kept = tuple(islice(dict.fromkeys(wanted), self._at_most))
        for labels in set(self._metric.label_sets()).difference(kept):
            self._metric.remove(*labels)
        for labels in kept:
            self._metric.labels(*labels)
        self._known = frozenset(kept)

    def first(self, incs: list[_Inc], *candidates: Labels) -> _Metric:
        """The first candidate that there is; if that is not the very first, `incs` gets the overflow counter too."""
        found = next(labels for labels in candidates if labels in self._known)
        if found != candidates[0]:
            incs.append(self._overflow.inc)
        child: _Metric = self._metric.labels(*found)
        return child
