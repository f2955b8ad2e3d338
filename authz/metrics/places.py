"""Where a decision or a request of one kind is counted: the children of the active catalogue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from authz.core import REASONS, Catalogue, Kind, Route, kind_of
from authz.exposition import OTHER, Counter, Histogram
from authz.metrics.children import Children
from authz.metrics.decisions import (
    AUTH_FAILURES_TOTAL,
    DECISION_DURATION_SECONDS,
    DECISIONS_TOTAL,
    REQUEST_DURATION_SECONDS,
    REQUESTS_TOTAL,
    SCOPE_LATENCY_SECONDS,
    SCOPE_RATE_LIMITS_TOTAL,
    SCOPE_REQUESTS_TOTAL,
    SCOPE_USAGE_TOTAL,
)
from authz.metrics.labels import (
    DECISION_CODES,
    ENDPOINT_CODES,
    FAILURES,
    Labels,
    code_label,
    decision_labels,
    failure_labels,
    method_label,
    outcome_of,
    request_labels,
    scope_request_labels,
)
from authz.metrics.observed import OBSERVED_DECISIONS_TOTAL, OBSERVED_REQUESTS_TOTAL
from authz.metrics.registry import NONE
from authz.metrics.tally import Tally

_UNKNOWN = "\x00"
"""A label value that no child has."""

Endpoints = Mapping[str, tuple[str, ...]]
"""The route templates of the decision listener itself, each with its methods."""


class Declared:
    """The routes and methods that are known, of the listener and of the policy."""

    def __init__(self, endpoints: Endpoints, routes: Iterable[Route]) -> None:
        self._pairs = {(path, method) for path, methods in endpoints.items() for method in methods}
        self._pairs |= {(route.path, method_label(route.method)) for route in routes}
        self._paths = {path for path, _ in self._pairs}

    def knows(self, route: str | None) -> bool:
        """Whether this is a known template, or none at all."""
        return route is None or route in self._paths

    def judged(self, route: str, method: str) -> str:
        """A HEAD is judged, and so counted, as a GET where no HEAD route is declared."""
        return "GET" if method == "HEAD" and (route, method) not in self._pairs else method


Wanted = Iterator[tuple[Children[Any], Iterable[Labels]]]
"""Children of a metric, and the label sets that a catalogue would have them have."""


class DecisionPlaces:
    """Where decisions are counted."""

    def __init__(self) -> None:
        self._scope_requests = Children(SCOPE_REQUESTS_TOTAL)
        self._scope_usage = Children(SCOPE_USAGE_TOTAL)
        self._scope_latency = Children(SCOPE_LATENCY_SECONDS)
        self._rate_limits = Children(SCOPE_RATE_LIMITS_TOTAL)
        self._failures = Children(AUTH_FAILURES_TOTAL)
        self._decisions = Children(DECISIONS_TOTAL)
        self._observed = Children(OBSERVED_DECISIONS_TOTAL)

    def wanted(self, routes: Sequence[Route], catalogue: Catalogue) -> Wanted:
        """The label sets of this catalogue."""
        scopes, reasons = catalogue.scopes, catalogue.reasons
        yield self._scope_requests, scope_request_labels(routes, scopes)
        yield self._scope_usage, product((OTHER, *scopes))
        yield self._scope_latency, product((NONE, OTHER, *scopes))
        yield self._rate_limits, product((NONE, OTHER, *scopes))
        yield self._failures, failure_labels(reasons)
        yield self._decisions, decision_labels(reasons)
        yield self._observed, decision_labels(reasons)

    def switch(self, declared: Declared, catalogue: Catalogue) -> None:
        """Count by this catalogue, whose children are there, from now on."""
        self._declared = declared
        self._scopes = frozenset(catalogue.scopes)
        self._reasons = frozenset((*REASONS, *catalogue.reasons))

    def knows(self, route: str | None, scopes: tuple[str, ...], reason: str) -> bool:
        """Whether all of this is the catalogue's, so that there are only so many of it."""
        return self._declared.knows(route) and reason in self._reasons and self._scopes.issuperset(scopes)

    def tally(self, route: str | None, method: str, scopes: tuple[str, ...], reason: str, *, allow: bool) -> Tally:
        """For decisions that are enforced."""
        kind = kind_of(reason)
        outcome = outcome_of(kind, allow=allow)
        counters: list[Counter] = []
        histograms: list[Histogram] = [DECISION_DURATION_SECONDS]
        counters.append(self._decisions.first(counters, (outcome, reason), (outcome, OTHER)))
        if kind in FAILURES:
            status = str(kind.value)
            counters.append(self._failures.first(counters, (status, reason), (status, OTHER)))
        for scope in dict.fromkeys(s if s in self._scopes else _UNKNOWN for s in scopes) or (NONE,):
            places = self._scope_request_places(route, method, scope, outcome)
            counters.append(self._scope_requests.first(counters, *places))
            histograms.append(self._scope_latency.first(counters, (scope,), (OTHER,)))
            if allow and scope != NONE:
                counters.append(self._scope_usage.first(counters, (scope,), (OTHER,)))
            if kind is Kind.LIMITED:
                counters.append(self._rate_limits.first(counters, (scope,), (OTHER,)))
        return Tally(counters, histograms, answers=outcome != "error")

    def observed(self, reason: str, *, allow: bool) -> Tally:
        """For decisions that nobody enforces."""
        outcome = outcome_of(kind_of(reason), allow=allow)
        counters: list[Counter] = []
        counters.append(self._observed.first(counters, (outcome, reason), (outcome, OTHER)))
        return Tally(counters, (), answers=outcome != "error")

    def _scope_request_places(self, route: str | None, method: str, scope: str, outcome: str) -> list[Labels]:
        """Where a decision may be counted, the most telling place first."""
        last: list[Labels] = [(OTHER, OTHER, scope, outcome), (OTHER, OTHER, OTHER, outcome)]
        if route is not None:
            judged = self._declared.judged(route, method)
            return [(route, judged, scope, outcome), (route, judged, OTHER, outcome), *last]
        if scope == NONE:
            return [(OTHER, method, NONE, outcome)]
        return last


class RequestPlaces:
    """Where requests on the decision listener are counted."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._requests = Children(REQUESTS_TOTAL)
        self._durations = Children(REQUEST_DURATION_SECONDS)

    def wanted(self, routes: Sequence[Route], _catalogue: Catalogue) -> Wanted:
        """The label sets of this catalogue."""
        yield self._requests, request_labels(routes, self._endpoints)
        yield self._durations, product((OTHER, *self._endpoints, *(route.path for route in routes)))

    def switch(self, declared: Declared) -> None:
        """Count by these routes, whose children are there, from now on."""
        self._declared = declared

    def tally(self, route: str | None, method: str, status: int) -> Tally:
        """For requests whose answer is enforced."""
        counters: list[Counter] = []
        decided = route is not None and route not in self._endpoints
        code = code_label(status, DECISION_CODES if decided else ENDPOINT_CODES)
        place = (OTHER, method, code) if route is None else (route, self._declared.judged(route, method), code)
        counters.append(self._requests.first(counters, place, (OTHER, method, code)))
        return Tally(counters, [self._durations.first(counters, (OTHER if route is None else route,), (OTHER,))])

    @staticmethod
    def observed(status: int) -> Tally:
        """For requests of callers that only observe."""
        return Tally([OBSERVED_REQUESTS_TOTAL.labels(code_label(status, DECISION_CODES))], ())
