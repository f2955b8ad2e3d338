"""docs/metrics.md, made from the registry itself."""

from collections.abc import Iterator, Mapping

from authz.exposition import OTHER, Counter, Gauge, Histogram
from authz.metrics.decisions import DECISIONS_TOTAL
from authz.metrics.registry import (
    BUCKETS_SECONDS,
    MAX_COUNTER_CHILDREN,
    MAX_HISTOGRAM_CHILDREN,
    METRIC_LABEL_OVERFLOW_TOTAL,
    NONE,
    OUTCOMES,
)
from authz.metrics.tally import EXEMPLAR_SECONDS

_HEAD = f"""\
# Metrics

Served by the admin listener at `/metrics`, as Prometheus text or, where the scraper asks for it, OpenMetrics.

- **Labels come from the active policy, never from a request.** `route` is a template, `scope` and `reason` are the
  catalogue's, `method` is one of the nine of HTTP. Everything else counts as `{OTHER}`; where that hides what a
  caller or a policy named, `{METRIC_LABEL_OVERFLOW_TOTAL.registered_name}` says in which metric.
- **Every series is there at zero** as soon as the policy is active, so that `increase()` sees the first count. When a
  new revision drops a route or scope its series go; the others keep their counts.
- **A cap per metric**: {MAX_COUNTER_CHILDREN} label sets of a counter or gauge, {MAX_HISTOGRAM_CHILDREN} of a
  histogram, in catalogue order; what comes after counts as `{OTHER}`.
- **One moment**: everything that a scrape shows of decisions, requests and records is of the same moment. An allow or a
  denial in `{DECISIONS_TOTAL.registered_name}` is in `authz_audit_decisions_total` too, in every scrape, or it left
  without a record.
- **Every request is counted.** What is no HTTP counts under route and method `{OTHER}` with code 400, without a
  duration.
- **Callers that only observe** (`observe = true`) have metrics of their own, `authz_observed_*`, and are in no other
  one: what nobody enforces is in no objective either. Their records count in `authz_audit_*` as all do.
- **Exemplars** (OpenMetrics only) name the decision, which is the id of its record (`authz audit events --id`), and
  the trace: on denials, on what took longer than {EXEMPLAR_SECONDS} s, and where `traceparent` says that the trace is
  sampled.
- A decision that needs several scopes is counted under each of them, one that needs none under `{NONE}`. So
  sums over `scope` are not numbers of decisions: those are in `{DECISIONS_TOTAL.registered_name}`.
- `decision` is {", ".join(f"`{outcome}`" for outcome in OUTCOMES)}; `error` is a 503: could not decide.
- A `HEAD` that is judged as a `GET` is counted as a `GET`.
- A status `code` without a series of its own is counted under its class, such as `4xx`.
- Buckets in seconds: {", ".join(map(str, BUCKETS_SECONDS))}.

| metric | type | labels | meaning | in `authz.metrics` |
|---|---|---|---|---|
"""

_TAIL = """
`authz_evidence_*` is what a ledger says about a policy. It takes a pass over months of records, so no sidecar serves
it: `authz policy unused --prometheus FILE`, from a timer, writes it for the text file collector of Prometheus' node
exporter ([policy-evidence](policy-evidence.md#as-metrics)). A role or scope is one of that policy; above the cap,
`other` is the sum.

The process's own metrics (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and so on)
are prometheus_client's.

## What it costs

Counting a decision touches one small object with plain numbers: which series it belongs to is worked out once for
each kind of decision, and the numbers are carried over into the metrics before they are read. Decision, request and
record together add about 1 us (`python -m tests.bench.metrics_bench`). A scrape is rendered in pieces of at most
2 ms, between which the event loop gets its turn, so it never holds up decisions; `sample_limit` in
`deploy/prometheus/prometheus.yml` is a backstop.

`workers` is 1 today; how several will be counted together is
[decided](decisions/0014-counting-aside.md#several-workers-when-they-are-built).
"""


def reference(metrics: Mapping[str, object]) -> str:
    """The whole page; `metrics` are the names that the room offers."""
    return _HEAD + "".join(sorted(_rows(metrics))) + _TAIL


def _rows(metrics: Mapping[str, object]) -> Iterator[str]:
    for name, metric in metrics.items():
        if isinstance(metric, Counter | Gauge | Histogram):
            (described,) = metric.describe()
            labels = ", ".join(f"`{label}`" for label in metric.label_names)
            cells = (f"`{metric.registered_name}`", described.type, labels, described.documentation, f"`{name}`")
            yield f"| {' | '.join(cells)} |\n"
