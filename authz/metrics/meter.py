"""The meter: counts decisions, requests, refusals and audit events under the labels of the active catalogue."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeVar

from authz.core import EVENT_TYPES, REASONS, REFUSALS, AccessRequest, Catalogue, Decision, Kind, Route, kind_of
from authz.metrics.children import Children
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
from authz.metrics.labels import (
    DECISION_CODES,
    ENDPOINT_CODES,
    FAILURES,
    REFUSED_FAILURES,
    Labels,
    code_label,
    decision_labels,
    failure_labels,
    method_label,
    outcome_of,
    request_labels,
    scope_request_labels,
)
from authz.metrics.ledger import AUDIT_EVENTS_TOTAL
from authz.metrics.observed import Observed
from authz.metrics.registry import (
    MAX_COUNTER_CHILDREN,
    MAX_HISTOGRAM_CHILDREN,
    METHODS,
    METRIC_LABEL_OVERFLOW_TOTAL,
    NONE,
    OTHER,
)
from authz.metrics.reported import REPORTED_REFUSED_TOTAL, ReportedOutcomes, count_reported
from authz.metrics.service import POLICY_INFO

_Inc = Callable[..., None]
_Observe = Callable[[float], None]
_ObserveMany = Callable[[float, int], None]
_Key = TypeVar("_Key")

_METHODS = frozenset(METHODS)
_MAX_REMEMBERED = 10_000
_UNKNOWN = "\x00"
"""A label value that no child has."""


class _Tally(NamedTuple):
    """All that one kind of decision or request counts into."""

    incs: Sequence[_Inc]
    observes: Sequence[_Observe]
    observes_many: Sequence[_ObserveMany] = ()


class DecisionMeter:
    """Counts decisions, requests, refusals and audit events under the labels of the active catalogue.

    There is one per process: the metrics are the module's. `endpoints` are the route templates of the decision
    listener itself, each with its methods. Counting never fails and never waits.
    """

    def __init__(self, endpoints: Mapping[str, Iterable[str]] | None = None) -> None:
        self._endpoints = {path: tuple(map(method_label, methods)) for path, methods in (endpoints or {}).items()}
        self._scope_requests = Children(SCOPE_REQUESTS_TOTAL, MAX_COUNTER_CHILDREN)
        self._scope_usage = Children(SCOPE_USAGE_TOTAL, MAX_COUNTER_CHILDREN)
        self._scope_latency = Children(SCOPE_LATENCY_SECONDS, MAX_HISTOGRAM_CHILDREN)
        self._rate_limits = Children(SCOPE_RATE_LIMITS_TOTAL, MAX_COUNTER_CHILDREN)
        self._failures = Children(AUTH_FAILURES_TOTAL, MAX_COUNTER_CHILDREN)
        self._decisions = Children(DECISIONS_TOTAL, MAX_COUNTER_CHILDREN)
        self._observed = Observed()
        self._requests = Children(REQUESTS_TOTAL, MAX_COUNTER_CHILDREN)
        self._durations = Children(REQUEST_DURATION_SECONDS, MAX_HISTOGRAM_CHILDREN)
        self._outcomes = ReportedOutcomes()
        self._audited = {each: AUDIT_EVENTS_TOTAL.labels(each).inc for each in (OTHER, *EVENT_TYPES)}
        self._decision_tallies: dict[tuple[str | None, str, tuple[str, ...], str, bool], _Tally] = {}
        self._request_tallies: dict[tuple[str | None, str, int], _Tally] = {}
        self.bind(Catalogue(scopes=(), roles=()))

    def bind(self, catalogue: Catalogue, revision: str | None = None) -> None:
        """Count under the labels of this catalogue from now on.

        Its label sets are made at zero; those that it no longer knows are dropped; the others keep their counts.
        """
        for _ in self.binding(catalogue, revision):
            pass

    def binding(
        self, catalogue: Catalogue, revision: str | None = None, switch: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """`bind` in small steps, between which others may count. `switch` is called in the step that changes labels."""
        routes = catalogue.route_table()
        declared = {(path, method) for path, methods in self._endpoints.items() for method in methods}
        declared |= {(route.path, method_label(route.method)) for route in routes}
        yield
        scopes, reasons = frozenset(catalogue.scopes), frozenset((*REASONS, *catalogue.reasons))
        made: list[tuple[Children[Any], frozenset[Labels]]] = []
        for children, wanted in self._wanted(catalogue, routes):
            kept = yield from children.make(wanted)
            made.append((children, kept))
        self._declared, self._routes = declared, {path for path, _ in declared}
        self._scopes, self._reasons = scopes, reasons
        for children, kept in made:
            children.know(kept)
        self._decision_tallies.clear()
        self._request_tallies.clear()
        POLICY_INFO.clear()
        if revision is not None:
            POLICY_INFO.labels(revision).set(1)
        switch()
        for children, _ in made:
            yield from children.drop_others()

    def _wanted(
        self, catalogue: Catalogue, routes: Sequence[Route]
    ) -> Iterator[tuple[Children[Any], Iterable[Labels]]]:
        """The label sets of every metric that a catalogue has a say in."""
        yield self._scope_requests, scope_request_labels(routes, catalogue.scopes)
        yield self._scope_usage, product((OTHER, *catalogue.scopes))
        yield self._scope_latency, product((NONE, OTHER, *catalogue.scopes))
        yield self._rate_limits, product((NONE, OTHER, *catalogue.scopes))
        yield self._failures, failure_labels(catalogue.reasons)
        yield self._decisions, decision_labels(catalogue.reasons)
        yield self._observed.children, decision_labels(catalogue.reasons)
        yield self._requests, request_labels(routes, self._endpoints)
        yield self._durations, product((OTHER, *self._endpoints, *(route.path for route in routes)))
        yield from self._outcomes.wanted(routes)

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Count one decision that took `seconds`; one that nobody enforces stays out of all that objectives use."""
        if request.caller.observes:
            self._observed.decided(decision)
            return
        method = request.action.name
        if method not in _METHODS:
            method = OTHER
        key = (decision.route, method, decision.scopes, decision.reason, decision.allow)
        tally = self._decision_tallies.get(key) or self._decision_tally(*key)
        for inc in tally.incs:
            inc()
        for observe in tally.observes:
            observe(seconds)

    def decided_all(self, decided: Sequence[tuple[AccessRequest, Decision]], seconds: float) -> None:
        """Count the decisions of a batch that took `seconds`: each took as long; equal ones at once."""
        if decided and decided[0][0].caller.observes:  # a batch has one caller
            for _, decision in decided:
                self._observed.decided(decision)
            return
        kinds = Counter([(d.route, r.action.name, d.scopes, d.reason, d.allow) for r, d in decided])
        for (route, name, scopes, reason, allow), times in kinds.items():
            key = (route, name if name in _METHODS else OTHER, scopes, reason, allow)
            tally = self._decision_tallies.get(key) or self._decision_tally(*key)
            for inc in tally.incs:
                inc(times)
            for observe in tally.observes_many:
                observe(seconds, times)

    def request_finished(
        self, route: str | None, method: str, status: int, seconds: float, *, observed: bool = False
    ) -> None:
        """Count one request on the decision listener; `route` is a template of the policy or of the listener.

        `observed`: the caller enforces nothing, so the request is no part of what objectives are about.
        """
        if observed:
            self._observed.finished(status)
            return
        key = (route, method_label(method), status)
        tally = self._request_tallies.get(key) or self._request_tally(*key)
        for inc in tally.incs:
            inc()
        for observe in tally.observes:
            observe(seconds)

    def refused(self, code: str) -> None:
        """Count one call that never became a question."""
        if code not in REFUSALS:
            METRIC_LABEL_OVERFLOW_TOTAL.labels(REFUSALS_TOTAL.registered_name).inc()
            code = OTHER
        REFUSALS_TOTAL.labels(code).inc()
        failure = (str(REFUSALS.get(code)), code)
        if failure in REFUSED_FAILURES:
            AUTH_FAILURES_TOTAL.labels(*failure).inc()

    def audited(self, event_type: str, times: int = 1) -> None:
        """Count one event, or as many of one type, that is durable in the ledger."""
        inc = self._audited.get(event_type)
        if inc is None:
            METRIC_LABEL_OVERFLOW_TOTAL.labels(AUDIT_EVENTS_TOTAL.registered_name).inc()
            inc = self._audited[OTHER]
        inc(times)

    def reported(self, event_type: str | None, outcome: str) -> None:
        """Count one event that a caller reported: `recorded`, `duplicate` or `refused`."""
        count_reported(event_type, outcome)

    def report_refused(self, code: str) -> None:
        """Count why a reported event was refused: a code of REFUSED_EVENTS."""
        REPORTED_REFUSED_TOTAL.labels(code).inc()

    def outcome_reported(self, route: str | None, method: str, status: int, seconds: float | None) -> None:
        """Count how a request to an upstream ended, on a caller's word."""
        self._outcomes.count(route, method if route is None else self._judged(route, method), status, seconds)

    def _decision_tally(
        self, route: str | None, method: str, scopes: tuple[str, ...], reason: str, allow: bool
    ) -> _Tally:
        kind = kind_of(reason)
        outcome = outcome_of(kind, allow=allow)
        incs: list[_Inc] = []
        histograms = [DECISION_DURATION_SECONDS]
        incs.append(self._decisions.first(incs, (outcome, reason), (outcome, OTHER)).inc)
        if kind in FAILURES:
            status = str(kind.value)
            incs.append(self._failures.first(incs, (status, reason), (status, OTHER)).inc)
        for scope in dict.fromkeys(s if s in self._scopes else _UNKNOWN for s in scopes) or (NONE,):
            places = self._scope_request_places(route, method, scope, outcome)
            incs.append(self._scope_requests.first(incs, *places).inc)
            histograms.append(self._scope_latency.first(incs, (scope,), (OTHER,)))
            if allow and scope != NONE:
                incs.append(self._scope_usage.first(incs, (scope,), (OTHER,)).inc)
            if kind is Kind.LIMITED:
                incs.append(self._rate_limits.first(incs, (scope,), (OTHER,)).inc)
        tally = _Tally(incs, [each.observe for each in histograms], [each.observe_many for each in histograms])
        if self._knows(route) and reason in self._reasons and self._scopes.issuperset(scopes):
            _remember(self._decision_tallies, (route, method, scopes, reason, allow), tally)
        return tally

    def _scope_request_places(self, route: str | None, method: str, scope: str, outcome: str) -> list[Labels]:
        """Where a decision may be counted, the most telling place first."""
        last: list[Labels] = [(OTHER, OTHER, scope, outcome), (OTHER, OTHER, OTHER, outcome)]
        if route is not None:
            judged = self._judged(route, method)
            return [(route, judged, scope, outcome), (route, judged, OTHER, outcome), *last]
        if scope == NONE:
            return [(OTHER, method, NONE, outcome)]
        return last

    def _request_tally(self, route: str | None, method: str, status: int) -> _Tally:
        incs: list[_Inc] = []
        decided = route is not None and route not in self._endpoints
        code = code_label(status, DECISION_CODES if decided else ENDPOINT_CODES)
        place = (OTHER, method, code) if route is None else (route, self._judged(route, method), code)
        incs.append(self._requests.first(incs, place, (OTHER, method, code)).inc)
        observe = self._durations.first(incs, (OTHER if route is None else route,), (OTHER,)).observe
        tally = _Tally(incs, [observe])
        if self._knows(route):
            _remember(self._request_tallies, (route, method, status), tally)
        return tally

    def _judged(self, route: str, method: str) -> str:
        """A HEAD is judged, and so counted, as a GET where no HEAD route is declared."""
        return "GET" if method == "HEAD" and (route, method) not in self._declared else method

    def _knows(self, route: str | None) -> bool:
        return route is None or route in self._routes


def _remember(tallies: dict[_Key, _Tally], key: _Key, tally: _Tally) -> None:
    """Keep a tally for the next time. The keys are of the catalogue, but their combinations could be many."""
    if len(tallies) >= _MAX_REMEMBERED:
        tallies.clear()
    tallies[key] = tally
