"""What callers that only observe bring in: in families of its own, so that no service level speaks of it."""

from collections.abc import Callable
from itertools import product

from authz.core import Decision
from authz.exposition import Counter
from authz.metrics.children import Children
from authz.metrics.labels import DECISION_CODES, code_label, outcome_of
from authz.metrics.registry import MAX_COUNTER_CHILDREN, OTHER, REGISTRY

OBSERVED_DECISIONS_TOTAL = Counter(
    "authz_observed_decisions_total",
    "Decisions for callers that only observe, by reason. They count here and in no other metric of decisions.",
    ("decision", "reason"),
    registry=REGISTRY,
)
OBSERVED_REQUESTS_TOTAL = Counter(
    "authz_observed_requests_total",
    "Requests of callers that only observe, by status code sent. They count here and in no other metric of requests.",
    ("code",),
    registry=REGISTRY,
)
for _labels in product(DECISION_CODES):
    OBSERVED_REQUESTS_TOTAL.labels(*_labels)


class Observed:
    """Counts what nobody enforces; `children` are bound to the reasons of the active catalogue by the meter."""

    def __init__(self) -> None:
        self.children = Children(OBSERVED_DECISIONS_TOTAL, MAX_COUNTER_CHILDREN)

    def decided(self, decision: Decision) -> None:
        """Count one decision."""
        incs: list[Callable[[], None]] = []
        outcome = outcome_of(decision.kind, allow=decision.allow)
        incs.append(self.children.first(incs, (outcome, decision.reason), (outcome, OTHER)).inc)
        for inc in incs:
            inc()

    @staticmethod
    def finished(status: int) -> None:
        """Count one request."""
        OBSERVED_REQUESTS_TOTAL.labels(code_label(status, DECISION_CODES)).inc()
