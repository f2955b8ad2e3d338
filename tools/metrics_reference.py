"""Print docs/metrics.md, made from the registry itself: `python tools/metrics_reference.py > docs/metrics.md`."""

from collections.abc import Iterator

from authz import metrics
from authz.exposition import Counter, Gauge, Histogram

_HEAD = f"""\
# Metrics

Served by the admin listener at `/metrics`, as Prometheus text or, where the scraper asks for it, OpenMetrics. Made from
the registry by `python tools/metrics_reference.py`; a test fails when this page is stale.

- **Labels come from the active policy, never from a request.** `route` is a template, `scope` and `reason` are the
  catalogue's, `method` is one of the nine of HTTP. Everything else counts as `{metrics.OTHER}`; where that hides what a
  caller or a policy named, `{metrics.METRIC_LABEL_OVERFLOW_TOTAL.registered_name}` says in which metric.
- **Every series is there at zero** as soon as the policy is active, so that `increase()` sees the first count. When a
  new revision drops a route or scope its series go; the others keep their counts.
- **A cap per metric**: {metrics.MAX_COUNTER_CHILDREN} label sets of a counter, {metrics.MAX_HISTOGRAM_CHILDREN} of a
  histogram, in catalogue order; what comes after counts as `{metrics.OTHER}`.
- A decision that needs several scopes is counted under each of them, one that needs none under `{metrics.NONE}`. So
  sums over `scope` are not numbers of decisions: those are in `{metrics.DECISIONS_TOTAL.registered_name}`.
- `decision` is {", ".join(f"`{outcome}`" for outcome in metrics.OUTCOMES)}; `error` is a 503: could not decide.
- A `HEAD` that is judged as a `GET` is counted as a `GET`.
- A status `code` without a series of its own is counted under its class, such as `4xx`.
- Buckets in seconds: {", ".join(map(str, metrics.BUCKETS_SECONDS))}.

| metric | type | labels | meaning | in `authz.metrics` |
|---|---|---|---|---|
"""

_TAIL = """
The process's own metrics (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and so on)
are prometheus_client's.
"""


def reference() -> str:
    """The whole page."""
    return _HEAD + "".join(sorted(_rows())) + _TAIL


def _rows() -> Iterator[str]:
    for name, metric in vars(metrics).items():
        if isinstance(metric, Counter | Gauge | Histogram):
            (described,) = metric.describe()
            labels = ", ".join(f"`{label}`" for label in metric.label_names)
            cells = (f"`{metric.registered_name}`", described.type, labels, described.documentation, f"`{name}`")
            yield f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    print(reference(), end="")
