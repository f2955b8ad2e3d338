"""What is measured of an OPA server that is asked for decisions."""

from authz.exposition import Counter, Gauge, Histogram
from authz.metrics.registry import BUCKETS_SECONDS, REGISTRY, at_zero

ENGINE_STATE = Gauge(
    "authz_engine_state",
    "1 for the state of the circuit breaker before the OPA server: closed (asked), open or half_open (not asked).",
    ("state",),
    registry=REGISTRY,
)
ENGINE_CALLS_TOTAL = Counter(
    "authz_engine_calls_total",
    "Calls to the OPA server by rule and how they ended: ok, rule_failed, late, no_answer.",
    ("rule", "outcome"),
    registry=REGISTRY,
)
ENGINE_CALL_DURATION_SECONDS = Histogram(
    "authz_engine_call_duration_seconds",
    "Time of one call to the OPA server.",
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
ENGINE_BATCH_CHECKS = Histogram(
    "authz_engine_batch_checks",
    "Checks that one call to the OPA server carried.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
ENGINE_REFUSED_TOTAL = Counter(
    "authz_engine_refused_total",
    "Checks answered engine_unavailable: the breaker was open, the deadline passed, no answer, another revision.",
    ("cause",),
    registry=REGISTRY,
)
ENGINE_PROBES_TOTAL = Counter(
    "authz_engine_probes_total", "Probes of the OPA server while the breaker was not closed.", ("outcome",),
    registry=REGISTRY,
)  # fmt: skip
ENGINE_STARTS_TOTAL = Counter(
    "authz_engine_starts_total", "Starts of a local OPA server; more than one is a crash.", registry=REGISTRY
)

at_zero(
    ENGINE_CALLS_TOTAL, ("decision", "decisions", "explain", "catalogue"), ("ok", "rule_failed", "late", "no_answer")
)
at_zero(ENGINE_REFUSED_TOTAL, ("open", "deadline", "no_answer", "revision"))
at_zero(ENGINE_PROBES_TOTAL, ("answered", "failed"))
for _state in ("closed", "open", "half_open"):
    ENGINE_STATE.labels(_state)
