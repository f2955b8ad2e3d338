"""What is measured of the ledger, of the auditor beside it and of those who keep its checkpoints."""

from authz.core import EVENT_TYPES
from authz.exposition import OTHER, Counter, Gauge, Histogram
from authz.metrics.registry import BUCKETS_SECONDS, METRIC_LABEL_OVERFLOW_TOTAL, NONE, OUTCOMES, REGISTRY, at_zero

AUDIT_EVENTS_TOTAL = Counter(
    "authz_audit_events_total", "Events that are durable in the ledger, by type.", ("type",), registry=REGISTRY
)
AUDIT_DECISIONS_TOTAL = Counter(
    "authz_audit_decisions_total",
    "Decisions that are durable in the ledger: as many as were made, or something is wrong.",
    ("decision",),
    registry=REGISTRY,
)
AUDIT_INTEGRITY_FAILURES_TOTAL = Counter(
    "authz_audit_integrity_failures_total",
    "What must never happen to the ledger: damage found, an answer that left unrecorded or without being counted.",
    ("kind",),
    registry=REGISTRY,
)
BREAK_GLASS_TOTAL = Counter(
    "authz_break_glass_total", "Uses of the admin listener past the policy, each recorded.", registry=REGISTRY
)
AUDIT_FAILURES_TOTAL = Counter(
    "authz_audit_failures_total", "Events that the ledger could not make durable.", registry=REGISTRY
)
AUDIT_PENDING = Gauge("authz_audit_pending", "Events on their way to the disk.", registry=REGISTRY)
AUDIT_COMMIT_DURATION_SECONDS = Histogram(
    "authz_audit_commit_duration_seconds",
    "Time that the disk took for one group of records: one write and one fdatasync, which decisions wait for.",
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
AUDIT_UNRECORDED_TOTAL = Counter(
    "authz_audit_unrecorded_total",
    "Events that went out without a durable record, in degraded mode; `none` is what is no decision.",
    ("decision",),
    registry=REGISTRY,
)
AUDIT_DEGRADED = Gauge(
    "authz_audit_degraded", "1 while what cannot be recorded goes out all the same.", registry=REGISTRY
)
AUDIT_DAMAGE = Gauge("authz_audit_damage", "Findings of damage in the ledger that are known.", registry=REGISTRY)
AUDIT_DISK_FREE_BYTES = Gauge(
    "authz_audit_disk_free_bytes",
    "What may still be written on the disk under the ledger.",
    unit="bytes",
    registry=REGISTRY,
)
AUDIT_DISK_DAYS_LEFT = Gauge(
    "authz_audit_disk_days_left",
    "How long that lasts at the rate of the last day; NaN while the rate is not known.",
    registry=REGISTRY,
)
AUDIT_CHECKPOINT_AGE_SECONDS = Gauge(
    "authz_audit_checkpoint_age_seconds",
    "Time since everything durable in a stream was under a signed checkpoint.",
    ("stream",),
    unit="seconds",
    registry=REGISTRY,
)
AUDIT_LAG_RECORDS = Gauge(
    "authz_audit_lag_records", "Durable records that no signed checkpoint covers yet.", ("stream",), registry=REGISTRY
)
AUDIT_ALARMS = Gauge(
    "authz_audit_alarms", "What the auditor found wrong and somebody has to look at.", registry=REGISTRY
)
AUDITOR_STARTS_TOTAL = Counter(
    "authz_auditor_starts_total", "Starts of the auditor as a child; more than one is a crash.", registry=REGISTRY
)
AUDIT_WITNESS_AGE_SECONDS = Gauge(
    "authz_audit_witness_age_seconds",
    "Time since a witness last cosigned the node's checkpoint.",
    ("witness",),
    unit="seconds",
    registry=REGISTRY,
)
AUDIT_ANCHOR_AGE_SECONDS = Gauge(
    "authz_audit_anchor_age_seconds",
    "Time since an anchor last took or confirmed the node's checkpoint.",
    ("anchor",),
    unit="seconds",
    registry=REGISTRY,
)
AUDIT_HISTORY_DISAGREES = Gauge(
    "authz_audit_history_disagrees",
    "1 for a witness or an anchor that remembers another history than the one on this disk.",
    ("place",),
    registry=REGISTRY,
)
AUDIT_CONSUMER_LAG_RECORDS = Gauge(
    "authz_audit_consumer_lag_records",
    "Durable records that a consumer of the auditor's trail, such as the index, has not taken yet.",
    ("consumer",),
    registry=REGISTRY,
)
AUDIT_CONSUMER_FAILING = Gauge(
    "authz_audit_consumer_failing",
    "1 while a consumer of the auditor's trail takes no records; the auditor's log says why.",
    ("consumer",),
    registry=REGISTRY,
)
AUDIT_INDEX_REFUSED_TOTAL = Counter(
    "authz_audit_index_refused_total",
    "Rows of the index that were not what lies in the ledger, and were not answered.",
    registry=REGISTRY,
)
AUDIT_VERIFIED_TIMESTAMP_SECONDS = Gauge(
    "authz_audit_verified_timestamp_seconds",
    "When the auditor last verified the whole ledger, in seconds since the epoch; 0 = not known.",
    unit="seconds",
    registry=REGISTRY,
)
AUDIT_VERIFICATION_ISSUES = Gauge(
    "authz_audit_verification_issues", "Findings of damage of the last such verification.", registry=REGISTRY
)
ALARMS_TOTAL = Counter(
    "authz_alarms_total", "Alarms that the rules over the stream of decisions raised.", ("rule",), registry=REGISTRY
)
ALARMS_FORGOTTEN_TOTAL = Counter(
    "authz_alarms_forgotten_total",
    "Subjects that a rule stopped to follow because there were more than audit.alarms.remembered_subjects.",
    ("rule",),
    registry=REGISTRY,
)

at_zero(AUDIT_EVENTS_TOTAL, (*EVENT_TYPES, OTHER))
at_zero(AUDIT_DECISIONS_TOTAL, OUTCOMES)
at_zero(AUDIT_INTEGRITY_FAILURES_TOTAL, ("damage", "unrecorded", "missing_record"))
at_zero(AUDIT_UNRECORDED_TOTAL, (*OUTCOMES, NONE))
at_zero(METRIC_LABEL_OVERFLOW_TOTAL, (AUDIT_EVENTS_TOTAL.registered_name,))
