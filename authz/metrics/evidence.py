"""What a ledger says about a policy, as gauges: for a text file that `authz policy unused --prometheus` writes.

They take a pass over months of records, so no sidecar serves them.
"""

from authz.exposition import Gauge, Registry

EVIDENCE = Registry()
"""Apart from what a process serves."""

EVIDENCE_DECISIONS = Gauge(
    "authz_evidence_decisions", "Text file: recorded decisions that were read.", registry=EVIDENCE
)
EVIDENCE_READ_TIMESTAMP_SECONDS = Gauge(
    "authz_evidence_read_timestamp_seconds",
    "Text file: when the ledger was read; an old one says that the timer fails.",
    unit="seconds",
    registry=EVIDENCE,
)
EVIDENCE_SINCE_TIMESTAMP_SECONDS = Gauge(
    "authz_evidence_since_timestamp_seconds",
    "Text file: earlier decisions do not count.",
    unit="seconds",
    registry=EVIDENCE,
)
EVIDENCE_ROLE_SUBJECTS = Gauge(
    "authz_evidence_role_subjects", "Text file: subjects that were seen with the role.", ("role",), registry=EVIDENCE
)
EVIDENCE_ROLE_SCOPES = Gauge(
    "authz_evidence_role_scopes",
    "Text file: scopes that the role holds, by whether an allow was ever granted by it.",
    ("role", "use"),
    registry=EVIDENCE,
)
EVIDENCE_SCOPE_SUBJECTS = Gauge(
    "authz_evidence_scope_subjects",
    "Text file: subjects that were seen holding the scope, and those of them that used it.",
    ("scope", "use"),
    registry=EVIDENCE,
)
EVIDENCE_FAR_MORE_SUBJECTS = Gauge(
    "authz_evidence_far_more_subjects",
    "Text file: subjects that hold four times as many scopes as they use.",
    registry=EVIDENCE,
)
EVIDENCE_UNMATCHED_DECISIONS = Gauge(
    "authz_evidence_unmatched_decisions",
    "Text file: decisions about what no route has, by method and reason.",
    ("method", "reason"),
    registry=EVIDENCE,
)
