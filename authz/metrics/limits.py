"""Rate limits."""

from authz.exposition import Counter, Gauge
from authz.metrics.registry import REGISTRY

LIMITS_BUDGETS = Gauge(
    "authz_limits_budgets", "Rate limit budgets that are not full, in this process's memory.", registry=REGISTRY
)
LIMITS_FORGOTTEN_TOTAL = Counter(
    "authz_limits_forgotten_total",
    "Budgets dropped before they were full again, because more are in use than `limits.budgets`.",
    registry=REGISTRY,
)
LIMITS_AWAY_TOTAL = Counter(
    "authz_limits_away_total", "Decisions with limits while the server of shared budgets was away.", registry=REGISTRY
)
