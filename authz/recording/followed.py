"""Totals that the auditor counts in its own process, as counters of this one."""

from collections.abc import Iterable, Mapping

from authz.audit import AuditorStatus
from authz.exposition import Counter


class FollowedTotals:
    """A counter with one label that follows totals in the auditor's status. They begin at zero with each auditor.

    What a status says that was written before `begun` (seconds since the epoch) was counted in an earlier life.
    """

    def __init__(self, counter: Counter, names: Iterable[str], begun: float) -> None:
        self._children = {name: counter.labels(name) for name in names}
        self._begun = begun
        self._pid: int | None = None
        self._seen: Mapping[str, int] = {}

    def count(self, status: AuditorStatus, totals: Mapping[str, int]) -> None:
        """Take in the totals of a status."""
        if status.pid != self._pid:
            self._pid, self._seen = status.pid, totals if status.time < self._begun else {}
        for name, child in self._children.items():
            child.inc(max(0, totals.get(name, 0) - self._seen.get(name, 0)))
        self._seen = totals
