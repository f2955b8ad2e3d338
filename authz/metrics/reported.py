"""What is counted of what callers report: a family of its own, never mixed with what this service saw itself."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from authz.core import EVENT_TYPES, REFUSED_EVENTS, Catalogue, Route
from authz.exposition import OTHER, Counter, Histogram
from authz.metrics.children import Children
from authz.metrics.labels import CODE_CLASSES, Labels, code_label, method_label
from authz.metrics.registry import (
    BUCKETS_SECONDS,
    METHODS,
    REGISTRY,
    at_zero,
)

REPORTED_EVENTS_TOTAL = Counter(
    "authz_reported_events_total",
    "Events that callers reported, by type and what became of them.",
    ("type", "outcome"),
    registry=REGISTRY,
)
REPORTED_REFUSED_TOTAL = Counter(
    "authz_reported_refused_total", "Reported events that were refused, by error code.", ("code",), registry=REGISTRY
)
REPORTED_REQUESTS_TOTAL = Counter(
    "authz_reported_requests_total",
    "Requests to the upstreams as callers reported their end, by route template, method and status code.",
    ("route", "method", "code"),
    registry=REGISTRY,
)
REPORTED_REQUEST_DURATION_SECONDS = Histogram(
    "authz_reported_request_duration_seconds",
    "Duration of requests to the upstreams as callers reported it.",
    ("route",),
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
REPORTED_FORGOTTEN_TOTAL = Counter(
    "authz_reported_forgotten_total",
    "IDs of reported events that were forgotten before reporting.window_seconds were over.",
    registry=REGISTRY,
)

_REPORTABLE = frozenset(name for name, row in EVENT_TYPES.items() if row.reportable)
_CODES = ("401", "403", "429", *CODE_CLASSES)

at_zero(REPORTED_EVENTS_TOTAL, (OTHER, *sorted(_REPORTABLE)), ("recorded", "duplicate", "refused"))
at_zero(REPORTED_REFUSED_TOTAL, REFUSED_EVENTS)


class ReportedOutcomes:
    """Counts how requests to upstreams ended, under the routes of the active catalogue."""

    def __init__(self) -> None:
        self._requests = Children(REPORTED_REQUESTS_TOTAL)
        self._durations = Children(REPORTED_REQUEST_DURATION_SECONDS)

    def wanted(
        self, routes: Sequence[Route], _catalogue: Catalogue
    ) -> Iterator[tuple[Children[Any], Iterable[Labels]]]:
        """The label sets that these routes are counted under."""
        yield self._requests, _labels(routes)
        yield self._durations, product((OTHER, *(route.path for route in routes)))

    def count(self, route: str | None, method: str, status: int, seconds: float | None) -> None:
        """Count one request; `route` is a template of the policy, `method` the one it was judged as."""
        overflown: list[Counter] = []
        place = (OTHER if route is None else route, method_label(method), code_label(status, _CODES))
        self._requests.first(overflown, place, (OTHER, *place[1:])).inc()
        if seconds is not None:
            self._durations.first(overflown, place[:1], (OTHER,)).observe(seconds)
        for counter in overflown:
            counter.inc()


def count_reported(event_type: str | None, outcome: str) -> None:
    """Count one event: `recorded`, `duplicate` or `refused`."""
    REPORTED_EVENTS_TOTAL.labels(event_type if event_type in _REPORTABLE else OTHER, outcome).inc()


def _labels(routes: Sequence[Route]) -> Iterator[Labels]:
    yield from product((OTHER,), (OTHER, *METHODS), _CODES)
    for route in routes:
        yield from product((route.path,), (method_label(route.method),), _CODES)
