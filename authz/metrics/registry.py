"""The registry, what every metric has in common, and how they are written out."""

from collections.abc import Iterable
from itertools import product

from prometheus_client import ProcessCollector

from authz import exposition
from authz.exposition import Counter, Family, Histogram, Registry

REGISTRY = Registry()
"""All metrics of the process, and nothing of another library's."""

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""0.5 and 2.0 are the thresholds of the latency objectives: a ratio cannot be read from between two buckets."""

MAX_COUNTER_CHILDREN = Counter.max_children
"""Most label sets of one counter."""

MAX_HISTOGRAM_CHILDREN = Histogram.max_children
"""Most label sets of one histogram; each is 17 series."""

NONE = "none"
"""The scope of a decision that needed none, or did not get as far as to know."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
OUTCOMES = ("allow", "deny", "error")

METRIC_LABEL_OVERFLOW_TOTAL = Counter(
    "authz_metric_label_overflow_total",
    "Counted as `other` because the label values are not in the active catalogue, or over the metric's cap.",
    ("metric",),
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)


def overflowed(metric: str) -> None:
    """Count one use of a label set that the metric of this name does not have."""
    METRIC_LABEL_OVERFLOW_TOTAL.labels(metric).inc()


Family.on_overflow = staticmethod(overflowed)


def at_zero(counter: Counter, *values: Iterable[str]) -> None:
    """Make every combination of label values at zero."""
    for labels in product(*values):
        counter.labels(*labels)


async def render(accept: str) -> tuple[bytes, str]:
    """Every metric, in the format that an Accept header asks for, and its content type. It never holds up the loop."""
    return await exposition.render(REGISTRY, accept)
