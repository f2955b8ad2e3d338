"""The metrics of which policy is in force, how it got there, and what was refused."""

from authz.exposition import Counter, Gauge
from authz.metrics.registry import REGISTRY, at_zero

POLICY_REJECTIONS = (
    "bundle_altered",
    "bundle_conflict",
    "bundle_refused",
    "bundle_sequence",
    "bundle_signature",
    "bundle_truncated",
    "bundle_unsigned",
    "policy_cases",
    "policy_probe",
    "policy_refused",
    "policy_replay",
    "policy_shadow",
    "other",
)
"""Why a bundle was not put in force: the codes of the errors (docs/bundles.md)."""

POLICY_AGE_SECONDS = Gauge(
    "authz_policy_age_seconds",
    "Time since the source last confirmed the policy in force; NaN where no source is followed.",
    unit="seconds",
    registry=REGISTRY,
)
POLICY_ACTIVATED_TIMESTAMP_SECONDS = Gauge(
    "authz_policy_activated_timestamp_seconds",
    "When the policy in force was put in force.",
    unit="seconds",
    registry=REGISTRY,
)
POLICY_SEQUENCE = Gauge("authz_policy_sequence", "The signed sequence of the policy in force.", registry=REGISTRY)
POLICY_PINNED = Gauge(
    "authz_policy_pinned", "1 while a rollback holds the policy, whatever the source has.", registry=REGISTRY
)
POLICY_STALE = Gauge("authz_policy_stale", "1 while the policy is older than it may be.", registry=REGISTRY)
POLICY_ACTIVATIONS_TOTAL = Counter(
    "authz_policy_activations_total", "Policies put in force after the start.", registry=REGISTRY
)
POLICY_REJECTED_TOTAL = Counter(
    "authz_policy_rejected_total", "Bundles that were not put in force, by reason.", ("reason",), registry=REGISTRY
)
POLICY_FETCHES_TOTAL = Counter(
    "authz_policy_fetches_total", "Looks at the policy's source, by what they found.", ("outcome",), registry=REGISTRY
)
POLICY_SHADOW_TOTAL = Counter(
    "authz_policy_shadow_total",
    "Decisions evaluated by the next policy too, which answers nobody yet, by how it compares.",
    ("outcome",),
    registry=REGISTRY,
)

POLICY_REPLAYED_TOTAL = Counter(
    "authz_policy_replayed_total",
    "Recorded decisions put to a policy before it was put in force, by what came of them.",
    ("outcome",),
    registry=REGISTRY,
)

at_zero(POLICY_REJECTED_TOTAL, POLICY_REJECTIONS)
at_zero(POLICY_FETCHES_TOTAL, ("changed", "unchanged", "failed"))
at_zero(POLICY_SHADOW_TOTAL, ("same", "different", "failed"))
at_zero(POLICY_REPLAYED_TOTAL, ("same", "flipped", "untold", "beside", "left_out"))
POLICY_AGE_SECONDS.set(float("nan"))
