"""What is measured of the service itself: tokens, keys, engine, policy, streams, logs and the event loop."""

import asyncio
import platform
import time

from authz import __version__
from authz.exposition import OTHER, Counter, Gauge, Histogram
from authz.metrics.registry import BUCKETS_SECONDS, REGISTRY, at_zero

WS_CONNECTIONS_TOTAL = Counter(
    "authz_ws_connections_total", "Attempts to open a decision stream.", ("outcome",), registry=REGISTRY
)
WS_OPEN_CONNECTIONS = Gauge("authz_ws_open_connections", "Decision streams that are open.", registry=REGISTRY)
WS_OPEN_SUBSCRIPTIONS = Gauge(
    "authz_ws_open_subscriptions", "Subscriptions on open decision streams.", registry=REGISTRY
)
WS_MESSAGES_TOTAL = Counter(
    "authz_ws_messages_total", "Messages on decision streams, by kind.", ("kind", "outcome"), registry=REGISTRY
)
TOKEN_CACHE_TOTAL = Counter("authz_token_cache_total", "Look-ups of verified tokens.", ("outcome",), registry=REGISTRY)
JWKS_AGE_SECONDS = Gauge(
    "authz_jwks_age_seconds",
    "Time since an issuer's keys were last fetched or read.",
    ("issuer",),
    unit="seconds",
    registry=REGISTRY,
)
ENGINE_REBUILDS_TOTAL = Counter(
    "authz_engine_rebuilds_total", "Policy instances thrown away after a trap and built again.", registry=REGISTRY
)
REVOCATIONS = Gauge("authz_revocations", "Revocations that are held.", registry=REGISTRY)
POLICY_INFO = Gauge("authz_policy_info", "1 for the policy revision in force.", ("revision",), registry=REGISTRY)
BUILD_INFO = Gauge(
    "authz_build_info", "1, labelled with the versions in use.", ("version", "python"), registry=REGISTRY
)
LOG_DROPPED_TOTAL = Counter(
    "authz_log_dropped_total", "Log lines dropped because the queue was full or the stream gone.", registry=REGISTRY
)
EVENT_LOOP_LAG_SECONDS = Histogram(
    "authz_event_loop_lag_seconds",
    "How much later than asked for the event loop woke up, sampled several times a second.",
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)

at_zero(WS_CONNECTIONS_TOTAL, ("accepted", "refused"))
at_zero(WS_MESSAGES_TOTAL, ("evaluation", "evaluations", "subscribe", "unsubscribe", "push", OTHER), ("ok", "error"))
at_zero(TOKEN_CACHE_TOTAL, ("hit", "miss"))
BUILD_INFO.labels(__version__, platform.python_version()).set(1)


async def watch_event_loop(interval_seconds: float = 0.1) -> None:
    """Measure the event loop's lag until cancelled."""
    while True:
        due = time.perf_counter() + interval_seconds
        await asyncio.sleep(interval_seconds)
        EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - due))
