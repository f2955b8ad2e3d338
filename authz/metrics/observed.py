"""What callers that only observe bring in: in families of its own, so that no service level speaks of it."""

from authz.exposition import Counter
from authz.metrics.labels import DECISION_CODES
from authz.metrics.registry import REGISTRY, at_zero

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
at_zero(OBSERVED_REQUESTS_TOTAL, DECISION_CODES)
