"""What is counted of decisions and of requests on the decision listener."""

from authz.core import REFUSALS
from authz.exposition import OTHER, Counter, Histogram
from authz.metrics.registry import BUCKETS_SECONDS, METRIC_LABEL_OVERFLOW_TOTAL, REGISTRY, at_zero

SCOPE_REQUESTS_TOTAL = Counter(
    "authz_scope_requests_total",
    "Decisions by route, method and each scope they needed: one with two scopes is counted under both.",
    ("route", "method", "scope", "decision"),
    registry=REGISTRY,
)
SCOPE_USAGE_TOTAL = Counter(
    "authz_scope_usage_total", "Decisions in which the scope granted access.", ("scope",), registry=REGISTRY
)
SCOPE_LATENCY_SECONDS = Histogram(
    "authz_scope_latency_seconds",
    "Time to decide, durable record included, by each scope that the decision needed.",
    ("scope",),
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
SCOPE_RATE_LIMITS_TOTAL = Counter(
    "authz_scope_rate_limits_total",
    "Decisions refused for their rate, by each scope they needed.",
    ("scope",),
    registry=REGISTRY,
)
AUTH_FAILURES_TOTAL = Counter(
    "authz_auth_failures_total",
    "Denials and refused calls that amount to 401, 403 or 429, by reason.",
    ("status", "reason"),
    registry=REGISTRY,
)
DECISIONS_TOTAL = Counter("authz_decisions_total", "Decisions by reason.", ("decision", "reason"), registry=REGISTRY)
DECISION_DURATION_SECONDS = Histogram(
    "authz_decision_duration_seconds",
    "Time to decide, durable record included.",
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
REQUESTS_TOTAL = Counter(
    "authz_requests_total",
    "Requests on the decision listener by route template, method and status code sent.",
    ("route", "method", "code"),
    registry=REGISTRY,
)
REQUEST_DURATION_SECONDS = Histogram(
    "authz_request_duration_seconds",
    "Time from a request's head to its reply on the decision listener.",
    ("route",),
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
REFUSALS_TOTAL = Counter(
    "authz_refusals_total", "Calls that never became a question, by error code.", ("code",), registry=REGISTRY
)

at_zero(REFUSALS_TOTAL, (*REFUSALS, OTHER))
at_zero(METRIC_LABEL_OVERFLOW_TOTAL, (REFUSALS_TOTAL.registered_name,))
