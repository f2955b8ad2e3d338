"""Every metric, once, and the meter that counts decisions and requests into them.

Label values come from the active policy's catalogue or from a fixed list, never from a request: what is not on
the list is counted as `other`. Every series exists at zero before anything is counted, because a counter that first
appears at 1 is invisible to PromQL's `increase()`.

A new metric goes into the file of its subject (`decisions`, `ledger`, `service`, or its own) and is offered here.
"""

from authz.metrics.decisions import (
    AUTH_FAILURES_TOTAL,
    DECISION_DURATION_SECONDS,
    DECISIONS_TOTAL,
    REFUSALS_TOTAL,
    REQUEST_DURATION_SECONDS,
    REQUESTS_TOTAL,
    SCOPE_LATENCY_SECONDS,
    SCOPE_RATE_LIMITS_TOTAL,
    SCOPE_REQUESTS_TOTAL,
    SCOPE_USAGE_TOTAL,
)
from authz.metrics.ledger import (
    AUDIT_ALARMS,
    AUDIT_ANCHOR_AGE_SECONDS,
    AUDIT_CHECKPOINT_AGE_SECONDS,
    AUDIT_DAMAGE,
    AUDIT_DEGRADED,
    AUDIT_DISK_DAYS_LEFT,
    AUDIT_DISK_FREE_BYTES,
    AUDIT_EVENTS_TOTAL,
    AUDIT_FAILURES_TOTAL,
    AUDIT_HISTORY_DISAGREES,
    AUDIT_LAG_RECORDS,
    AUDIT_PENDING,
    AUDIT_UNRECORDED_TOTAL,
    AUDIT_WITNESS_AGE_SECONDS,
    AUDITOR_STARTS_TOTAL,
)
from authz.metrics.meter import (
    DecisionMeter,
)
from authz.metrics.observed import OBSERVED_DECISIONS_TOTAL, OBSERVED_REQUESTS_TOTAL
from authz.metrics.registry import (
    BUCKETS_SECONDS,
    MAX_COUNTER_CHILDREN,
    MAX_HISTOGRAM_CHILDREN,
    METHODS,
    METRIC_LABEL_OVERFLOW_TOTAL,
    NONE,
    OTHER,
    OUTCOMES,
    REGISTRY,
    render,
)
from authz.metrics.reported import (
    REPORTED_EVENTS_TOTAL,
    REPORTED_FORGOTTEN_TOTAL,
    REPORTED_REFUSED_TOTAL,
    REPORTED_REQUEST_DURATION_SECONDS,
    REPORTED_REQUESTS_TOTAL,
)
from authz.metrics.service import (
    BUILD_INFO,
    ENGINE_REBUILDS_TOTAL,
    EVENT_LOOP_LAG_SECONDS,
    JWKS_AGE_SECONDS,
    LOG_DROPPED_TOTAL,
    POLICY_INFO,
    TOKEN_CACHE_TOTAL,
    WS_CONNECTIONS_TOTAL,
    WS_MESSAGES_TOTAL,
    watch_event_loop,
)

__all__ = [
    "AUDITOR_STARTS_TOTAL",
    "AUDIT_ALARMS",
    "AUDIT_ANCHOR_AGE_SECONDS",
    "AUDIT_CHECKPOINT_AGE_SECONDS",
    "AUDIT_DAMAGE",
    "AUDIT_DEGRADED",
    "AUDIT_DISK_DAYS_LEFT",
    "AUDIT_DISK_FREE_BYTES",
    "AUDIT_EVENTS_TOTAL",
    "AUDIT_FAILURES_TOTAL",
    "AUDIT_HISTORY_DISAGREES",
    "AUDIT_LAG_RECORDS",
    "AUDIT_PENDING",
    "AUDIT_UNRECORDED_TOTAL",
    "AUDIT_WITNESS_AGE_SECONDS",
    "AUTH_FAILURES_TOTAL",
    "BUCKETS_SECONDS",
    "BUILD_INFO",
    "DECISIONS_TOTAL",
    "DECISION_DURATION_SECONDS",
    "ENGINE_REBUILDS_TOTAL",
    "EVENT_LOOP_LAG_SECONDS",
    "JWKS_AGE_SECONDS",
    "LOG_DROPPED_TOTAL",
    "MAX_COUNTER_CHILDREN",
    "MAX_HISTOGRAM_CHILDREN",
    "METHODS",
    "METRIC_LABEL_OVERFLOW_TOTAL",
    "NONE",
    "OBSERVED_DECISIONS_TOTAL",
    "OBSERVED_REQUESTS_TOTAL",
    "OTHER",
    "OUTCOMES",
    "POLICY_INFO",
    "REFUSALS_TOTAL",
    "REGISTRY",
    "REPORTED_EVENTS_TOTAL",
    "REPORTED_FORGOTTEN_TOTAL",
    "REPORTED_REFUSED_TOTAL",
    "REPORTED_REQUESTS_TOTAL",
    "REPORTED_REQUEST_DURATION_SECONDS",
    "REQUESTS_TOTAL",
    "REQUEST_DURATION_SECONDS",
    "SCOPE_LATENCY_SECONDS",
    "SCOPE_RATE_LIMITS_TOTAL",
    "SCOPE_REQUESTS_TOTAL",
    "SCOPE_USAGE_TOTAL",
    "TOKEN_CACHE_TOTAL",
    "WS_CONNECTIONS_TOTAL",
    "WS_MESSAGES_TOTAL",
    "DecisionMeter",
    "render",
    "watch_event_loop",
]
