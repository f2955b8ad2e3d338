"""The meter: counts decisions, requests, refusals and audit events under the labels of the active catalogue."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from authz.core import EVENT_TYPES, REFUSALS, AccessRequest, Catalogue, Decision, DecisionBody, Event
from authz.exposition import OTHER
from authz.metrics.children import Children
from authz.metrics.decisions import AUTH_FAILURES_TOTAL, REFUSALS_TOTAL, REQUESTS_TOTAL
from authz.metrics.labels import REFUSED_FAILURES, Labels, method_label
from authz.metrics.ledger import (
    AUDIT_DECISIONS_TOTAL,
    AUDIT_EVENTS_TOTAL,
    AUDIT_INTEGRITY_FAILURES_TOTAL,
    AUDIT_UNRECORDED_TOTAL,
)
from authz.metrics.places import DecisionPlaces, Declared, RequestPlaces
from authz.metrics.registry import METHODS, OUTCOMES, REGISTRY, overflowed
from authz.metrics.reported import REPORTED_REFUSED_TOTAL, ReportedOutcomes, count_reported
from authz.metrics.service import POLICY_INFO
from authz.metrics.tally import EXEMPLAR_SECONDS, Tallies, Tally

_METHODS = frozenset(METHODS)
_MAX_REMEMBERED = 10_000
_Key = TypeVar("_Key")


class DecisionMeter:
    """Counts decisions, requests, refusals and audit events under the labels of the active catalogue.

    There is one per process: the metrics are the module's. `endpoints` are the route templates of the decision
    listener itself, each with its methods. Counting never fails and never waits. It is done on the side (see Tally), so
    that everything a scrape shows of decisions, requests and records is of one moment.
    """

    def __init__(self, endpoints: Mapping[str, Iterable[str]] | None = None) -> None:
        self._endpoints = {path: tuple(map(method_label, methods)) for path, methods in (endpoints or {}).items()}
        self._tallies = Tallies()
        self._decisions = DecisionPlaces()
        self._requests = RequestPlaces(self._endpoints)
        self._outcomes = ReportedOutcomes()
        self._decision_tallies: dict[tuple[str | None, str, tuple[str, ...], str, bool, bool], Tally] = {}
        self._request_tallies: dict[tuple[str | None, str, int, bool], Tally] = {}
        self._events = dict.fromkeys((*EVENT_TYPES, OTHER), 0)
        self._recorded = dict.fromkeys(OUTCOMES, 0)
        self._answered_before = self._accounted_before = self._most_missing = 0
        REGISTRY.aside.add(self)
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
        declared = Declared(self._endpoints, routes)
        yield
        made: list[tuple[Children[Any], frozenset[Labels]]] = []
        for places in (self._decisions, self._requests, self._outcomes):
            for children, wanted in places.wanted(routes, catalogue):
                kept = yield from children.make(wanted)
                made.append((children, kept))
        self._declared = declared
        self._decisions.switch(declared, catalogue)
        self._requests.switch(declared)
        for children, kept in made:
            children.know(kept)
        self._decision_tallies.clear()
        self._request_tallies.clear()
        POLICY_INFO.clear()
        if revision is not None:
            POLICY_INFO.labels(revision).set(1)
        switch()
        # What was counted in the meantime, under labels that may go now.
        yield from self.carry_over()
        for children, _ in made:
            yield from children.drop_others()

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Count one decision that took `seconds`; those for callers that only observe in metrics of their own."""
        method = request.action.name
        if method not in _METHODS:
            method = OTHER
        key = (decision.route, method, decision.scopes, decision.reason, decision.allow, request.caller.observes)
        tally = self._decision_tallies.get(key) or self._decision_tally(key)
        if not tally.count:
            self._tallies.filled(tally)
        tally.add(seconds)
        if request.trace_sampled or not decision.allow or seconds > EXEMPLAR_SECONDS:
            tally.point_at(decision.id, request.trace_id, seconds)

    def decided_all(self, decided: Sequence[tuple[AccessRequest, Decision]], seconds: float) -> None:
        """Count the decisions of a batch that took `seconds`: each took as long; equal ones at once."""
        kinds: dict[tuple[str | None, str, tuple[str, ...], str, bool, bool], int] = {}
        for request, answer in decided:
            name, observed = request.action.name, request.caller.observes
            method = name if name in _METHODS else OTHER
            key = (answer.route, method, answer.scopes, answer.reason, answer.allow, observed)
            kinds[key] = kinds.get(key, 0) + 1
        for key, times in kinds.items():
            tally = self._decision_tallies.get(key) or self._decision_tally(key)
            if not tally.count:
                self._tallies.filled(tally)
            tally.add(seconds, times)

    def request_finished(
        self,
        route: str | None,
        method: str,
        status: int,
        seconds: float,
        asked: AccessRequest | None = None,
        decision: Decision | None = None,
    ) -> None:
        """Count one request on the decision listener; `route` is a template of the policy or of the listener.

        `asked` and `decision`, if it came to that: who asked, and what the exemplar points at.
        """
        key = (route, method_label(method), status, asked is not None and asked.caller.observes)
        tally = self._request_tallies.get(key) or self._request_tally(key)
        if not tally.count:
            self._tallies.filled(tally)
        tally.add(seconds)
        if decision is None or asked is None:
            return
        if asked.trace_sampled or not decision.allow or seconds > EXEMPLAR_SECONDS:
            tally.point_at(decision.id, asked.trace_id, seconds)

    def unparsed(self) -> None:
        """Count one request on the decision listener that was no HTTP; how long it took nobody knows."""
        self.refused("unparsed")
        REQUESTS_TOTAL.labels(OTHER, OTHER, "400").inc()

    def refused(self, code: str) -> None:
        """Count one call that never became a question."""
        if code not in REFUSALS:
            overflowed(REFUSALS_TOTAL.registered_name)
            code = OTHER
        REFUSALS_TOTAL.labels(code).inc()
        failure = (str(REFUSALS.get(code)), code)
        if failure in REFUSED_FAILURES:
            AUTH_FAILURES_TOTAL.labels(*failure).inc()

    def recorded(self, event: Event) -> None:
        """Count one event that is durable in the ledger."""
        body = event.stated
        if isinstance(body, DecisionBody):
            self._recorded[body.decision] += 1
        self.audited(event.type)

    def audited(self, event_type: str) -> None:
        """Count one event of this type that is durable in the ledger, and no decision."""
        try:
            self._events[event_type] += 1
        except KeyError:
            overflowed(AUDIT_EVENTS_TOTAL.registered_name)
            self._events[OTHER] += 1

    def reported(self, event_type: str | None, outcome: str) -> None:
        """Count one event that a caller reported: `recorded`, `duplicate` or `refused`."""
        count_reported(event_type, outcome)

    def report_refused(self, code: str) -> None:
        """Count why a reported event was refused: a code of REFUSED_EVENTS."""
        REPORTED_REFUSED_TOTAL.labels(code).inc()

    def outcome_reported(self, route: str | None, method: str, status: int, seconds: float | None) -> None:
        """Count how a request to an upstream ended, on a caller's word."""
        judged = method if route is None else self._declared.judged(route, method)
        self._outcomes.count(route, judged, status, seconds)

    def unrecorded(self, event: Event, decision: str) -> None:
        """Count one event that went out without a record: what was decided, or `none` for what is no decision."""
        AUDIT_UNRECORDED_TOTAL.labels(decision).inc()
        AUDIT_INTEGRITY_FAILURES_TOTAL.labels("unrecorded").inc()
        self._accounted_before += _answers(event)

    def owed(self, event: Event) -> None:
        """Take notice of an event that went out and will be recorded: see `paid`."""
        self._accounted_before += _answers(event)

    def paid(self, event: Event) -> None:
        """Count one event that was owed and is durable now."""
        self._accounted_before -= _answers(event)
        self.recorded(event)

    @property
    def most_missing(self) -> int:
        """How many more allows and denials left than were recorded or counted as unrecorded, at most: 0 or a fault."""
        answered = self._answered_before + self._tallies.answers
        accounted = self._accounted_before + self._recorded["allow"] + self._recorded["deny"]
        self._most_missing = max(self._most_missing, answered - accounted)
        return self._most_missing

    def carry_over(self) -> Iterator[None]:
        """See `exposition.Aside`."""
        self._answered_before += self._tallies.answers
        self._accounted_before += self._recorded["allow"] + self._recorded["deny"]
        events, self._events = self._events, dict.fromkeys(self._events, 0)
        recorded, self._recorded = self._recorded, dict.fromkeys(OUTCOMES, 0)
        for counts, metric in ((events, AUDIT_EVENTS_TOTAL), (recorded, AUDIT_DECISIONS_TOTAL)):
            for label, count in counts.items():
                if count:
                    metric.labels(label).inc(count)
        yield from self._tallies.carry_over()

    def _decision_tally(self, key: tuple[str | None, str, tuple[str, ...], str, bool, bool]) -> Tally:
        route, method, scopes, reason, allow, observed = key
        if observed:
            tally = self._decisions.observed(reason, allow=allow)
        else:
            tally = self._decisions.tally(route, method, scopes, reason, allow=allow)
        return self._remembered(self._decision_tallies, key, tally, known=self._decisions.knows(route, scopes, reason))

    def _request_tally(self, key: tuple[str | None, str, int, bool]) -> Tally:
        route, method, status, observed = key
        tally = self._requests.observed(status) if observed else self._requests.tally(route, method, status)
        return self._remembered(self._request_tallies, key, tally, known=self._declared.knows(route))

    def _remembered(self, tallies: dict[_Key, Tally], key: _Key, tally: Tally, *, known: bool) -> Tally:
        """The tally, kept for the next time. The keys are of the catalogue, but their combinations could be many."""
        if known:
            if len(tallies) >= _MAX_REMEMBERED:
                tallies.clear()
            tallies[key] = tally
        if self._tallies.too_many:
            deque(self.carry_over(), maxlen=0)
        return tally


def _answers(event: Event) -> bool:
    """Whether this is the record of an allow or a denial."""
    body = event.stated
    return isinstance(body, DecisionBody) and body.decision != "error"
