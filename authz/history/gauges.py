"""The numbers of `unused`, `holders` and `unmatched` as a text file that Prometheus' node exporter serves."""

import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from authz import bundle, metrics
from authz.history.folding import Fold
from authz.history.used import Held, Profiles, missing_routes, scope_use, unused


def write_gauges(path: Path, fold: Fold, held: Held, since: str) -> None:
    """Write them, whole or not at all. `since`: as `audit.moment` gives it. Raises OSError."""
    metrics.EVIDENCE_DECISIONS.set(fold.decisions)
    metrics.EVIDENCE_READ_TIMESTAMP_SECONDS.set(time.time())
    metrics.EVIDENCE_SINCE_TIMESTAMP_SECONDS.set(datetime.fromisoformat(since).timestamp())
    _roles(fold.tallies, held)
    _scopes(fold.tallies, held)
    _unmatched(fold.tallies)
    bundle.write(path, "".join(metrics.EVIDENCE.pieces(openmetrics=False)).encode())


def _roles(profiles: Profiles, held: Held) -> None:
    found = unused(profiles, held)
    metrics.EVIDENCE_ROLE_SUBJECTS.clear()
    metrics.EVIDENCE_ROLE_SCOPES.clear()
    # Added, not set: above the cap on label sets all are one.
    for row in found.roles:
        metrics.EVIDENCE_ROLE_SUBJECTS.labels(row.role).inc(row.subjects)
        metrics.EVIDENCE_ROLE_SCOPES.labels(row.role, "used").inc(len(row.used))
        metrics.EVIDENCE_ROLE_SCOPES.labels(row.role, "unused").inc(len(row.unused))
    metrics.EVIDENCE_FAR_MORE_SUBJECTS.set(len(found.far_more))


def _scopes(profiles: Profiles, held: Held) -> None:
    metrics.EVIDENCE_SCOPE_SUBJECTS.clear()
    for scope, use in scope_use(profiles, held).items():
        label = scope if scope in held.implies else metrics.OTHER
        metrics.EVIDENCE_SCOPE_SUBJECTS.labels(label, "held").inc(use.held)
        metrics.EVIDENCE_SCOPE_SUBJECTS.labels(label, "used").inc(use.used)


def _unmatched(profiles: Profiles) -> None:
    metrics.EVIDENCE_UNMATCHED_DECISIONS.clear()
    counts: Counter[tuple[str, str]] = Counter()
    for row in missing_routes(profiles):
        counts[metrics.method_label(row.method), row.reason] += row.decisions
    for labels, decisions in sorted(counts.items()):
        metrics.EVIDENCE_UNMATCHED_DECISIONS.labels(*labels).set(decisions)
