"""Every metric, once, and the meter that counts decisions and requests into them.

Label values come from the active policy's catalogue or from a fixed list, never from a request: what is not on
the list is counted as `other`. Every series exists at zero before anything is counted, because a counter that first
appears at 1 is invisible to PromQL's `increase()`.
"""

import asyncio
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import ProcessCollector

from authz import __version__, exposition
from authz.core import EVENT_TYPES, REASONS, REFUSALS, AccessRequest, Catalogue, Decision, Kind, Route, kind_of
from authz.exposition import Counter, Gauge, Histogram, Registry

REGISTRY = Registry()
"""All metrics of the process, and nothing of another library's."""

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""0.5 and 2.0 are the thresholds of the latency objectives: a ratio cannot be read from between two buckets."""

MAX_COUNTER_CHILDREN = 4_000
"""Most label sets of one counter."""

MAX_HISTOGRAM_CHILDREN = 500
"""Most label sets of one histogram; each is 17 series."""

OTHER = "other"
"""Stands for every label value that the active catalogue does not know."""

NONE = "none"
"""The scope of a decision that needed none, or did not get as far as to know."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
OUTCOMES = ("allow", "deny", "error")

SCOPE_REQUESTS_TOTAL = Counter(
    "authz_scope_requests_total",
    "Decisions by route, method and each scope they needed: one with two scopes is counted under both.",
    ("route", "method", "scope", "decision"),
    registry=REGISTRY,
)
SCOPE_USAGE_TOTAL = Counter(
    "authz_scope_usage_total", "Decisions in which the scope granted access.", ("scope",), registry=REGISTRY
)
SCOPE_LATENCY_SECONDS = Histogram(
    "authz_scope_latency_seconds",
    "Time to decide, durable record included, by each scope that the decision needed.",
    ("scope",),
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
SCOPE_RATE_LIMITS_TOTAL = Counter(
    "authz_scope_rate_limits_total",
    "Decisions refused for their rate, by each scope they needed.",
    ("scope",),
    registry=REGISTRY,
)
AUTH_FAILURES_TOTAL = Counter(
    "authz_auth_failures_total",
    "Denials and refused calls that amount to 401, 403 or 429, by reason.",
    ("status", "reason"),
    registry=REGISTRY,
)
DECISIONS_TOTAL = Counter("authz_decisions_total", "Decisions by reason.", ("decision", "reason"), registry=REGISTRY)
DECISION_DURATION_SECONDS = Histogram(
    "authz_decision_duration_seconds",
    "Time to decide, durable record included.",
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
REQUESTS_TOTAL = Counter(
    "authz_requests_total",
    "Requests on the decision listener by route template, method and status code sent.",
    ("route", "method", "code"),
    registry=REGISTRY,
)
REQUEST_DURATION_SECONDS = Histogram(
    "authz_request_duration_seconds",
    "Time from a request's head to its reply on the decision listener.",
    ("route",),
    unit="seconds",
    buckets=BUCKETS_SECONDS,
    registry=REGISTRY,
)
REFUSALS_TOTAL = Counter(
    "authz_refusals_total", "Calls that never became a question, by error code.", ("code",), registry=REGISTRY
)
AUDIT_EVENTS_TOTAL = Counter(
    "authz_audit_events_total", "Events that are durable in the ledger, by type.", ("type",), registry=REGISTRY
)
AUDIT_FAILURES_TOTAL = Counter(
    "authz_audit_failures_total", "Events that the ledger could not make durable.", registry=REGISTRY
)
AUDIT_PENDING = Gauge("authz_audit_pending", "Events on their way to the disk.", registry=REGISTRY)
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
WS_CONNECTIONS_TOTAL = Counter(
    "authz_ws_connections_total", "Attempts to open a decision stream.", ("outcome",), registry=REGISTRY
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
POLICY_INFO = Gauge("authz_policy_info", "1 for the policy revision in force.", ("revision",), registry=REGISTRY)
BUILD_INFO = Gauge(
    "authz_build_info", "1, labelled with the versions in use.", ("version", "python"), registry=REGISTRY
)
METRIC_LABEL_OVERFLOW_TOTAL = Counter(
    "authz_metric_label_overflow_total",
    "Counted as `other` because the label values are not in the active catalogue, or over the metric's cap.",
    ("metric",),
    registry=REGISTRY,
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
ProcessCollector(registry=REGISTRY)


def _at_zero(counter: Counter, *values: Iterable[str]) -> None:
    for labels in product(*values):
        counter.labels(*labels)


_at_zero(REFUSALS_TOTAL, (*REFUSALS, OTHER))
_at_zero(AUDIT_EVENTS_TOTAL, (*EVENT_TYPES, OTHER))
_at_zero(AUDIT_UNRECORDED_TOTAL, (*OUTCOMES, NONE))
_at_zero(WS_CONNECTIONS_TOTAL, ("accepted", "refused"))
_at_zero(WS_MESSAGES_TOTAL, ("evaluation", "evaluations", "subscribe", "push", OTHER), ("ok", "error"))
_at_zero(TOKEN_CACHE_TOTAL, ("hit", "miss"))
_at_zero(METRIC_LABEL_OVERFLOW_TOTAL, (REFUSALS_TOTAL.registered_name, AUDIT_EVENTS_TOTAL.registered_name))
BUILD_INFO.labels(__version__, platform.python_version()).set(1)


async def render(accept: str) -> tuple[bytes, str]:
    """Every metric, in the format that an Accept header asks for, and its content type. It never holds up the loop."""
    return await exposition.render(REGISTRY, accept)


async def watch_event_loop(interval_seconds: float = 0.1) -> None:
    """Measure the event loop's lag until cancelled."""
    while True:
        due = time.perf_counter() + interval_seconds
        await asyncio.sleep(interval_seconds)
        EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - due))


_Inc = Callable[[], None]
_Observe = Callable[[float], None]
_Metric = TypeVar("_Metric", Counter, Histogram)
_Key = TypeVar("_Key")
_Labels = tuple[str, ...]

_METHODS = frozenset(METHODS)
_FAILURES = frozenset({Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.LIMITED})
_FAILURE_STATUSES = tuple(str(kind.value) for kind in Kind if kind in _FAILURES)
_REFUSED_FAILURES = tuple((str(status), code) for code, status in REFUSALS.items() if str(status) in _FAILURE_STATUSES)
_CODE_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_DECISION_CODES = ("200", "401", "403", "429", "503", *_CODE_CLASSES)
_ENDPOINT_CODES = ("400", "404", "405", "413", "500", *_DECISION_CODES)
_MAX_REMEMBERED = 10_000
_UNKNOWN = "\x00"
"""A label value that no child has."""


class _Children(Generic[_Metric]):
    """The children of one metric: those of the active catalogue, up to a cap, all made at zero."""

    def __init__(self, metric: _Metric, at_most: int) -> None:
        self._metric: _Metric = metric
        self._at_most = at_most
        self._overflow = METRIC_LABEL_OVERFLOW_TOTAL.labels(metric.registered_name)
        self._known: frozenset[_Labels] = frozenset()

    def bind(self, wanted: Iterable[_Labels]) -> None:
        """Have exactly these children, the first ones if they are too many. Those that stay keep their counts."""
        kept = tuple(islice(dict.fromkeys(wanted), self._at_most))
        for labels in set(self._metric.label_sets()).difference(kept):
            self._metric.remove(*labels)
        for labels in kept:
            self._metric.labels(*labels)
        self._known = frozenset(kept)

    def first(self, incs: list[_Inc], *candidates: _Labels) -> _Metric:
        """The first candidate that there is; if that is not the very first, `incs` gets the overflow counter too."""
        found = next(labels for labels in candidates if labels in self._known)
        if found != candidates[0]:
            incs.append(self._overflow.inc)
        child: _Metric = self._metric.labels(*found)
        return child


class _Tally(NamedTuple):
    """All that one kind of decision or request counts into."""

    incs: Sequence[_Inc]
    observes: Sequence[_Observe]


class DecisionMeter:
    """Counts decisions, requests, refusals and audit events under the labels of the active catalogue.

    There is one per process: the metrics are the module's. `endpoints` are the route templates of the decision
    listener itself, each with its methods. Counting never fails and never waits.
    """

    def __init__(self, endpoints: Mapping[str, Iterable[str]] | None = None) -> None:
        self._endpoints = {path: tuple(map(_method, methods)) for path, methods in (endpoints or {}).items()}
        self._scope_requests = _Children(SCOPE_REQUESTS_TOTAL, MAX_COUNTER_CHILDREN)
        self._scope_usage = _Children(SCOPE_USAGE_TOTAL, MAX_COUNTER_CHILDREN)
        self._scope_latency = _Children(SCOPE_LATENCY_SECONDS, MAX_HISTOGRAM_CHILDREN)
        self._rate_limits = _Children(SCOPE_RATE_LIMITS_TOTAL, MAX_COUNTER_CHILDREN)
        self._failures = _Children(AUTH_FAILURES_TOTAL, MAX_COUNTER_CHILDREN)
        self._decisions = _Children(DECISIONS_TOTAL, MAX_COUNTER_CHILDREN)
        self._requests = _Children(REQUESTS_TOTAL, MAX_COUNTER_CHILDREN)
        self._durations = _Children(REQUEST_DURATION_SECONDS, MAX_HISTOGRAM_CHILDREN)
        self._audited = {each: AUDIT_EVENTS_TOTAL.labels(each).inc for each in (OTHER, *EVENT_TYPES)}
        self._decision_tallies: dict[tuple[str | None, str, tuple[str, ...], str, bool], _Tally] = {}
        self._request_tallies: dict[tuple[str | None, str, int], _Tally] = {}
        self.bind(Catalogue(scopes=(), roles=()))

    def bind(self, catalogue: Catalogue, revision: str | None = None) -> None:
        """Count under the labels of this catalogue from now on.

        Its label sets are made at zero; those that it no longer knows are dropped; the others keep their counts.
        """
        routes = catalogue.route_table()
        self._declared = {(path, method) for path, methods in self._endpoints.items() for method in methods}
        self._declared |= {(route.path, _method(route.method)) for route in routes}
        self._routes = {path for path, _ in self._declared}
        self._scopes = frozenset(catalogue.scopes)
        self._reasons = frozenset((*REASONS, *catalogue.reasons))
        self._scope_requests.bind(_scope_request_labels(routes, catalogue.scopes))
        self._scope_usage.bind(product((OTHER, *catalogue.scopes)))
        self._scope_latency.bind(product((NONE, OTHER, *catalogue.scopes)))
        self._rate_limits.bind(product((NONE, OTHER, *catalogue.scopes)))
        self._failures.bind(_failure_labels(catalogue.reasons))
        self._decisions.bind(_decision_labels(catalogue.reasons))
        self._requests.bind(_request_labels(routes, self._endpoints))
        self._durations.bind(product((OTHER, *self._endpoints, *(route.path for route in routes))))
        self._decision_tallies.clear()
        self._request_tallies.clear()
        POLICY_INFO.clear()
        if revision is not None:
            POLICY_INFO.labels(revision).set(1)

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Count one decision that took `seconds`."""
        method = request.action.name
        if method not in _METHODS:
            method = OTHER
        key = (decision.route, method, decision.scopes, decision.reason, decision.allow)
        tally = self._decision_tallies.get(key) or self._decision_tally(*key)
        for inc in tally.incs:
            inc()
        for observe in tally.observes:
            observe(seconds)

    def request_finished(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count one request on the decision listener; `route` is a template of the policy or of the listener."""
        key = (route, _method(method), status)
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
        if failure in _REFUSED_FAILURES:
            AUTH_FAILURES_TOTAL.labels(*failure).inc()

    def audited(self, event_type: str) -> None:
        """Count one event that is durable in the ledger."""
        inc = self._audited.get(event_type)
        if inc is None:
            METRIC_LABEL_OVERFLOW_TOTAL.labels(AUDIT_EVENTS_TOTAL.registered_name).inc()
            inc = self._audited[OTHER]
        inc()

    def _decision_tally(
        self, route: str | None, method: str, scopes: tuple[str, ...], reason: str, allow: bool
    ) -> _Tally:
        kind = kind_of(reason)
        outcome = _outcome(kind, allow=allow)
        incs: list[_Inc] = []
        observes: list[_Observe] = [DECISION_DURATION_SECONDS.observe]
        incs.append(self._decisions.first(incs, (outcome, reason), (outcome, OTHER)).inc)
        if kind in _FAILURES:
            status = str(kind.value)
            incs.append(self._failures.first(incs, (status, reason), (status, OTHER)).inc)
        for scope in dict.fromkeys(s if s in self._scopes else _UNKNOWN for s in scopes) or (NONE,):
            places = self._scope_request_places(route, method, scope, outcome)
            incs.append(self._scope_requests.first(incs, *places).inc)
            observes.append(self._scope_latency.first(incs, (scope,), (OTHER,)).observe)
            if allow and scope != NONE:
                incs.append(self._scope_usage.first(incs, (scope,), (OTHER,)).inc)
            if kind is Kind.LIMITED:
                incs.append(self._rate_limits.first(incs, (scope,), (OTHER,)).inc)
        tally = _Tally(incs, observes)
        if self._knows(route) and reason in self._reasons and self._scopes.issuperset(scopes):
            _remember(self._decision_tallies, (route, method, scopes, reason, allow), tally)
        return tally

    def _scope_request_places(self, route: str | None, method: str, scope: str, outcome: str) -> list[_Labels]:
        """Where a decision may be counted, the most telling place first."""
        last: list[_Labels] = [(OTHER, OTHER, scope, outcome), (OTHER, OTHER, OTHER, outcome)]
        if route is not None:
            judged = self._judged(route, method)
            return [(route, judged, scope, outcome), (route, judged, OTHER, outcome), *last]
        if scope == NONE:
            return [(OTHER, method, NONE, outcome)]
        return last

    def _request_tally(self, route: str | None, method: str, status: int) -> _Tally:
        incs: list[_Inc] = []
        decided = route is not None and route not in self._endpoints
        code = _code(status, _DECISION_CODES if decided else _ENDPOINT_CODES)
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


def _method(name: str) -> str:
    return name if name in _METHODS else OTHER


def _outcome(kind: Kind, *, allow: bool) -> str:
    if allow:
        return "allow"
    return "error" if kind is Kind.UNDECIDED else "deny"


def _code(status: int, codes: tuple[str, ...]) -> str:
    """The status itself, else its class; what is no status at all is our own mistake."""
    return next((code for code in (str(status), f"{status // 100}xx") if code in codes), "5xx")


def _remember(tallies: dict[_Key, _Tally], key: _Key, tally: _Tally) -> None:
    """Keep a tally for the next time. The keys are of the catalogue, but their combinations could be many."""
    if len(tallies) >= _MAX_REMEMBERED:
        tallies.clear()
    tallies[key] = tally


def _scope_request_labels(routes: Iterable[Route], scopes: Iterable[str]) -> Iterator[_Labels]:
    yield from product((OTHER,), (OTHER, *METHODS), (NONE,), OUTCOMES)
    yield from product((OTHER,), (OTHER,), (OTHER, *scopes), OUTCOMES)
    for route in routes:
        yield from product((route.path,), (_method(route.method),), (*route.scopes, NONE, OTHER), OUTCOMES)


def _failure_labels(declared_reasons: Iterable[str]) -> Iterator[_Labels]:
    yield from product(_FAILURE_STATUSES, (OTHER,))
    yield from _REFUSED_FAILURES
    for reason in (*REASONS, *declared_reasons):
        if kind_of(reason) in _FAILURES:
            yield str(kind_of(reason).value), reason


def _decision_labels(declared_reasons: Iterable[str]) -> Iterator[_Labels]:
    yield from product(OUTCOMES, (OTHER,))
    for reason in (*REASONS, *declared_reasons):
        kind = kind_of(reason)
        yield _outcome(kind, allow=kind is Kind.ALLOW), reason


def _request_labels(routes: Iterable[Route], endpoints: Mapping[str, Iterable[str]]) -> Iterator[_Labels]:
    yield from product((OTHER,), (OTHER, *METHODS), _ENDPOINT_CODES)
    for path, methods in endpoints.items():
        yield from product((path,), methods, _ENDPOINT_CODES)
    for route in routes:
        yield from product((route.path,), (_method(route.method),), _DECISION_CODES)
