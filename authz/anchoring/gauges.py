"""Witnesses and anchors as metrics."""

from collections.abc import Mapping
from typing import Any

from authz.anchoring.anchoring import read_outward
from authz.metrics import AUDIT_ANCHOR_AGE_SECONDS, AUDIT_HISTORY_DISAGREES, AUDIT_WITNESS_AGE_SECONDS


def show_outward(status: Mapping[str, Any], now: float) -> None:
    """Set the gauges from what stands in the auditor's status file. `now`: seconds since the epoch."""
    outward = read_outward(status)
    for one in outward.witnesses:
        AUDIT_WITNESS_AGE_SECONDS.labels(one.name).set(max(0.0, now - one.time))
    for one in outward.anchors:
        AUDIT_ANCHOR_AGE_SECONDS.labels(one.name).set(max(0.0, now - one.time))
    for one in (*outward.witnesses, *outward.anchors):
        AUDIT_HISTORY_DISAGREES.labels(one.name).set(one.disagrees)
