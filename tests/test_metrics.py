"""What is counted where, under which labels, and that nobody outside can add a series."""

import asyncio
from collections.abc import Sequence
from math import isnan
from typing import Literal

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from authz import __version__, metrics
from authz.core import (
    ANONYMOUS,
    EVENT_TYPES,
    REASONS,
    REFUSALS,
    AccessRequest,
    Action,
    Caller,
    Catalogue,
    CatalogueRoute,
    Decision,
    DecisionBody,
    Entity,
    Event,
    Kind,
    Meter,
)
from authz.exposition import Gauge
from authz.metrics import DecisionMeter
from authz.metrics import meter as meters

SMALL = Catalogue(
    scopes=("memory:read", "memory:write", "admin:read"),
    roles=("user_basic",),
    routes=(
        CatalogueRoute("GET", "/memory/{id}", all_of=("memory:read",)),
        CatalogueRoute("PUT", "/memory/{id}", any_of=("memory:write", "admin:read")),
        CatalogueRoute("GET", "/about", public=True),
        CatalogueRoute("PURGE", "/cache", all_of=("admin:read",)),
    ),
    reasons=("outside_hours",),
)

Series = dict[tuple[str, ...], float]


def series() -> dict[str, Series]:
    """Every known series: name -> sorted label pairs as text -> value; of histograms only the counts."""
    found: dict[str, Series] = {}
    text = "".join(metrics.REGISTRY.pieces(openmetrics=False))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if isnan(sample.value):
                continue
            if sample.name.startswith("authz_") and not sample.name.endswith(("_bucket", "_sum")):
                labels = tuple(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
    return found


def changes(before: dict[str, Series]) -> dict[str, Series]:
    """How much each series has grown since."""
    grown = {
        name: {labels: n - before.get(name, {}).get(labels, 0) for labels, n in rows.items()}
        for name, rows in series().items()
    }
    return {name: kept for name, rows in grown.items() if (kept := {k: n for k, n in rows.items() if n})}


def asked(method: str = "GET") -> AccessRequest:
    """A question with this method."""
    return AccessRequest(caller=Caller("t"), dialect="envoy", action=Action(method), resource=Entity("route", "/x"))


def decided(
    reason: str, scopes: Sequence[str] = (), route: str | None = None, *, allow: bool | None = None
) -> Decision:
    """A decision with this reason."""
    allowed = reason in REASONS and REASONS[reason].kind is Kind.ALLOW if allow is None else allow
    return Decision(
        id="1", allow=allowed, reason=reason, revision="r", subject=ANONYMOUS, scopes=tuple(scopes), route=route
    )


@pytest.fixture
def meter() -> DecisionMeter:
    """A fresh meter on the small catalogue and one endpoint."""
    made = DecisionMeter({"/access/v1/evaluation": ("POST",)})
    made.bind(SMALL, "r1")
    return made


def test_the_promised_names_are_there() -> None:
    """The eight names of the mission are importable and are the metrics that their names say."""
    promised = {
        "SCOPE_REQUESTS_TOTAL": ("authz_scope_requests_total", ("route", "method", "scope", "decision")),
        "AUTH_FAILURES_TOTAL": ("authz_auth_failures_total", ("status", "reason")),
        "SCOPE_LATENCY_SECONDS": ("authz_scope_latency_seconds", ("scope",)),
        "SCOPE_RATE_LIMITS_TOTAL": ("authz_scope_rate_limits_total", ("scope",)),
        "AUDIT_EVENTS_TOTAL": ("authz_audit_events_total", ("type",)),
        "WS_CONNECTIONS_TOTAL": ("authz_ws_connections_total", ("outcome",)),
        "WS_MESSAGES_TOTAL": ("authz_ws_messages_total", ("kind", "outcome")),
        "SCOPE_USAGE_TOTAL": ("authz_scope_usage_total", ("scope",)),
    }
    found = {name: getattr(metrics, name) for name in promised}
    assert promised == {name: (m.registered_name, m.label_names) for name, m in found.items()}


def test_the_meter_is_the_cores_port(meter: DecisionMeter) -> None:
    """The pipeline takes it as its Meter."""
    port: Meter = meter
    assert port is meter


def test_an_allow_is_counted_per_scope_and_once_as_a_decision(meter: DecisionMeter) -> None:
    """An allow counts under its route, method and scope, as a use of the scope, and with its duration."""
    before = series()
    meter.decided(asked(), decided("scope_granted", ["memory:read"], "/memory/{id}"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {
            ("decision=allow", "method=GET", "route=/memory/{id}", "scope=memory:read"): 1,
        },
        "authz_scope_usage_total": {("scope=memory:read",): 1},
        "authz_scope_latency_seconds_count": {("scope=memory:read",): 1},
        "authz_decisions_total": {("decision=allow", "reason=scope_granted"): 1},
        "authz_decision_duration_seconds_count": {(): 1},
    }


def test_every_scope_of_a_decision_is_counted(meter: DecisionMeter) -> None:
    """A decision with two scopes counts under both, but is one decision and one failure."""
    before = series()
    meter.decided(asked("PUT"), decided("scope_missing", ["memory:write", "admin:read"], "/memory/{id}"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {
            ("decision=deny", "method=PUT", "route=/memory/{id}", "scope=memory:write"): 1,
            ("decision=deny", "method=PUT", "route=/memory/{id}", "scope=admin:read"): 1,
        },
        "authz_scope_latency_seconds_count": {("scope=memory:write",): 1, ("scope=admin:read",): 1},
        "authz_auth_failures_total": {("reason=scope_missing", "status=403"): 1},
        "authz_decisions_total": {("decision=deny", "reason=scope_missing"): 1},
        "authz_decision_duration_seconds_count": {(): 1},
    }


def test_a_public_route_uses_no_scope(meter: DecisionMeter) -> None:
    """A decision that needs no scope counts under `none`, and as no scope's use."""
    before = series()
    meter.decided(asked(), decided("public_route", [], "/about"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {("decision=allow", "method=GET", "route=/about", "scope=none"): 1},
        "authz_scope_latency_seconds_count": {("scope=none",): 1},
        "authz_decisions_total": {("decision=allow", "reason=public_route"): 1},
        "authz_decision_duration_seconds_count": {(): 1},
    }


def test_a_rate_limit_is_counted_under_its_scope(meter: DecisionMeter) -> None:
    """A 429 counts as a failure and as a rate limit of the scope."""
    before = series()
    meter.decided(asked(), decided("rate_limited", ["memory:read"], "/memory/{id}"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {
            ("decision=deny", "method=GET", "route=/memory/{id}", "scope=memory:read"): 1,
        },
        "authz_scope_latency_seconds_count": {("scope=memory:read",): 1},
        "authz_scope_rate_limits_total": {("scope=memory:read",): 1},
        "authz_auth_failures_total": {("reason=rate_limited", "status=429"): 1},
        "authz_decisions_total": {("decision=deny", "reason=rate_limited"): 1},
        "authz_decision_duration_seconds_count": {(): 1},
    }


def test_what_could_not_be_decided_is_an_error_and_no_failure_of_the_subject(meter: DecisionMeter) -> None:
    """A 503 counts as `error` and not among 401, 403 and 429."""
    before = series()
    meter.decided(asked("POST"), decided("keys_unavailable"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {("decision=error", "method=POST", "route=other", "scope=none"): 1},
        "authz_scope_latency_seconds_count": {("scope=none",): 1},
        "authz_decisions_total": {("decision=error", "reason=keys_unavailable"): 1},
        "authz_decision_duration_seconds_count": {(): 1},
    }


def test_a_scope_asked_for_by_name_has_no_route(meter: DecisionMeter) -> None:
    """A question about a scope itself counts under that scope and route and method `other`, without overflow."""
    before = series()
    meter.decided(asked("use"), decided("scope_granted", ["admin:read"]), 0.003)
    meter.decided(asked("GET"), decided("scope_granted", ["admin:read"]), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {("decision=allow", "method=other", "route=other", "scope=admin:read"): 2},
        "authz_scope_usage_total": {("scope=admin:read",): 2},
        "authz_scope_latency_seconds_count": {("scope=admin:read",): 2},
        "authz_decisions_total": {("decision=allow", "reason=scope_granted"): 2},
        "authz_decision_duration_seconds_count": {(): 2},
    }


def test_head_is_counted_as_the_get_it_is_judged_as(meter: DecisionMeter) -> None:
    """A HEAD on a route without HEAD counts under GET; without a route it counts as itself."""
    before = series()
    meter.decided(asked("HEAD"), decided("public_route", [], "/about"), 0.003)
    meter.decided(asked("HEAD"), decided("public_route", [], "/about"), 0.003)
    meter.decided(asked("HEAD"), decided("unmatched_route"), 0.003)
    meter.request_finished("/about", "HEAD", 200, 0.1)
    grown = changes(before)
    assert (grown["authz_scope_requests_total"], grown["authz_requests_total"]) == (
        {
            ("decision=allow", "method=GET", "route=/about", "scope=none"): 2,
            ("decision=deny", "method=HEAD", "route=other", "scope=none"): 1,
        },
        {("code=200", "method=GET", "route=/about"): 1},
    )


def test_a_method_of_the_policys_own_counts_as_other(meter: DecisionMeter) -> None:
    """Methods are the nine of HTTP; a route with another one is counted, under `other`."""
    before = series()
    meter.decided(asked("PURGE"), decided("scope_granted", ["admin:read"], "/cache"), 0.003)
    assert changes(before)["authz_scope_requests_total"] == {
        ("decision=allow", "method=other", "route=/cache", "scope=admin:read"): 1
    }


def test_a_reason_of_the_policys_own_is_a_label(meter: DecisionMeter) -> None:
    """Reasons that the catalogue declares are counted as 403 under their own name, from zero."""
    before = series()
    meter.decided(asked(), decided("outside_hours", ["memory:read"], "/memory/{id}"), 0.003)
    grown = changes(before)
    assert (before["authz_auth_failures_total"]["reason=outside_hours", "status=403"], grown) == (
        0,
        {
            "authz_scope_requests_total": {
                ("decision=deny", "method=GET", "route=/memory/{id}", "scope=memory:read"): 1,
            },
            "authz_scope_latency_seconds_count": {("scope=memory:read",): 1},
            "authz_auth_failures_total": {("reason=outside_hours", "status=403"): 1},
            "authz_decisions_total": {("decision=deny", "reason=outside_hours"): 1},
            "authz_decision_duration_seconds_count": {(): 1},
        },
    )


def test_what_the_catalogue_does_not_know_is_other_and_overflow(meter: DecisionMeter) -> None:
    """Unknown routes, scopes and reasons count under `other`, and each metric says that it happened."""
    before = series()
    meter.decided(asked(), decided("made_up", ["photos:read", "photos:write"], "/photos"), 0.003)
    meter.decided(asked(), decided("scope_missing", ["admin:read"], "/memory/{id}"), 0.003)
    assert changes(before) == {
        "authz_scope_requests_total": {
            ("decision=deny", "method=other", "route=other", "scope=other"): 1,
            ("decision=deny", "method=GET", "route=/memory/{id}", "scope=other"): 1,
        },
        "authz_scope_latency_seconds_count": {("scope=other",): 1, ("scope=admin:read",): 1},
        "authz_auth_failures_total": {("reason=other", "status=403"): 1, ("reason=scope_missing", "status=403"): 1},
        "authz_decisions_total": {("decision=deny", "reason=other"): 1, ("decision=deny", "reason=scope_missing"): 1},
        "authz_decision_duration_seconds_count": {(): 2},
        "authz_metric_label_overflow_total": {
            ("metric=authz_scope_requests_total",): 2,
            ("metric=authz_scope_latency_seconds",): 1,
            ("metric=authz_auth_failures_total",): 1,
            ("metric=authz_decisions_total",): 1,
        },
    }


def test_the_mark_for_the_unknown_is_no_way_in(meter: DecisionMeter) -> None:
    """Scopes called `other`, `none` or by the mark for the unknown are nothing special."""
    before = series()
    meter.decided(asked(), decided("unknown_scope", ["other", "none", "\x00"]), 0.003)
    assert changes(before)["authz_scope_requests_total"] == {
        ("decision=deny", "method=other", "route=other", "scope=other"): 1
    }


def test_requests_are_counted_by_route_method_and_code(meter: DecisionMeter) -> None:
    """A request counts under its template, method and status; statuses without a series of their own by class."""
    before = series()
    meter.request_finished("/access/v1/evaluation", "POST", 200, 0.1)
    meter.request_finished("/access/v1/evaluation", "POST", 422, 0.1)
    meter.request_finished("/memory/{id}", "GET", 503, 0.1)
    meter.request_finished("/memory/{id}", "GET", 400, 0.1)
    meter.request_finished(None, "BREW", 400, 0.1)
    meter.request_finished(None, "GET", 42, 0.1)
    assert changes(before) == {
        "authz_requests_total": {
            ("code=200", "method=POST", "route=/access/v1/evaluation"): 1,
            ("code=4xx", "method=POST", "route=/access/v1/evaluation"): 1,
            ("code=503", "method=GET", "route=/memory/{id}"): 1,
            ("code=4xx", "method=GET", "route=/memory/{id}"): 1,
            ("code=400", "method=other", "route=other"): 1,
            ("code=5xx", "method=GET", "route=other"): 1,
        },
        "authz_request_duration_seconds_count": {
            ("route=/access/v1/evaluation",): 2,
            ("route=/memory/{id}",): 2,
            ("route=other",): 2,
        },
    }


def test_unknown_request_routes_are_other_and_overflow(meter: DecisionMeter) -> None:
    """A route that is neither the policy's nor the listener's counts under `other`, at its own code."""
    before = series()
    meter.request_finished("/surprise", "GET", 503, 0.1)
    assert changes(before) == {
        "authz_requests_total": {("code=503", "method=GET", "route=other"): 1},
        "authz_request_duration_seconds_count": {("route=other",): 1},
        "authz_metric_label_overflow_total": {
            ("metric=authz_requests_total",): 1,
            ("metric=authz_request_duration_seconds",): 1,
        },
    }


def test_refusals_are_counted_by_code(meter: DecisionMeter) -> None:
    """A refusal counts under its code, as a failure too if it is a 401 or 403, and under `other` if it has no row."""
    before = series()
    for code in ("unparsed", "caller_forbidden", "caller_unauthenticated", "nonsense"):
        meter.refused(code)
    assert changes(before) == {
        "authz_refusals_total": {
            ("code=unparsed",): 1,
            ("code=caller_forbidden",): 1,
            ("code=caller_unauthenticated",): 1,
            ("code=other",): 1,
        },
        "authz_auth_failures_total": {
            ("reason=caller_forbidden", "status=403"): 1,
            ("reason=caller_unauthenticated", "status=401"): 1,
        },
        "authz_metric_label_overflow_total": {("metric=authz_refusals_total",): 1},
    }


def test_audit_events_are_counted_by_type(meter: DecisionMeter) -> None:
    """An event counts under its type, and under `other` if the catalogue of events has no such type."""
    before = series()
    meter.audited("auth.scope_granted")
    meter.audited("no.such_type")
    assert changes(before) == {
        "authz_audit_events_total": {("type=auth.scope_granted",): 1, ("type=other",): 1},
        "authz_metric_label_overflow_total": {("metric=authz_audit_events_total",): 1},
    }


def test_everything_is_there_at_zero_first(meter: DecisionMeter) -> None:
    """Counting adds no series: whatever is counted, its series was there at zero before."""
    before = {name: set(rows) for name, rows in series().items()}
    for reason in (*REASONS, "outside_hours", "made_up"):
        for method in (*metrics.METHODS, "use", "BREW"):
            for route in (None, "/memory/{id}", "/about", "/cache", "/photos"):
                for scopes in ([], ["memory:read"], ["memory:write", "admin:read"], ["photos:read"]):
                    meter.decided(asked(method), decided(reason, scopes, route), 0.003)
    for status in range(99, 1000, 7):
        for method in (*metrics.METHODS, "BREW"):
            for route in (None, "/memory/{id}", "/access/v1/evaluation", "/photos"):
                meter.request_finished(route, method, status, 0.003)
    for code in (*REFUSALS, "made_up"):
        meter.refused(code)
    for event_type in (*EVENT_TYPES, "made_up"):
        meter.audited(event_type)
    assert before == {name: set(rows) for name, rows in series().items()}


@pytest.mark.slow
def test_a_hostile_client_adds_no_series(meter: DecisionMeter) -> None:
    """100,000 distinct methods, routes, scopes and reasons leave the series, and the meter's memory, as they were."""
    before = {name: set(rows) for name, rows in series().items()}
    for n in range(100_000):
        text = f"x{n}"
        meter.decided(asked(text), decided("unknown_scope", [text], None), 0.003)
        meter.request_finished(None, text, 403, 0.003)
    for n in range(5_000):
        meter.decided(asked("GET"), decided(f"r{n}", ["memory:read"], f"/{n}"), 0.003)
        meter.request_finished(f"/{n}", "GET", 403, 0.003)
    assert (before, 0, 1) == (
        {name: set(rows) for name, rows in series().items()},
        len(meter._decision_tallies),
        len(meter._request_tallies),
    )


def test_remembered_combinations_are_bounded(meter: DecisionMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known values in ever new combinations do not grow the meter's memory without end."""
    monkeypatch.setattr(meters, "_MAX_REMEMBERED", 20)
    sizes = set()
    for reason in REASONS:
        for scopes in ([], ["memory:read"], ["memory:write"], ["memory:read", "memory:write"]):
            meter.decided(asked(), decided(reason, scopes, "/memory/{id}"), 0.003)
            sizes.add(len(meter._decision_tallies))
    assert set(range(1, 21)) == sizes


def test_a_new_catalogue_drops_what_is_gone_and_keeps_the_rest(meter: DecisionMeter) -> None:
    """Series of routes and scopes that a revision drops go; the others keep their counts; new ones start at zero."""
    meter.decided(asked(), decided("scope_granted", ["memory:read"], "/memory/{id}"), 0.003)
    meter.decided(asked(), decided("public_route", [], "/about"), 0.003)
    meter.request_finished("/about", "GET", 200, 0.003)
    before = series()
    fewer = Catalogue(
        scopes=("memory:read", "photos:read"),
        roles=(),
        routes=(
            CatalogueRoute("GET", "/memory/{id}", all_of=("memory:read",)),
            CatalogueRoute("GET", "/photos", all_of=("photos:read",)),
        ),
    )
    meter.bind(fewer, "r2")
    after = series()

    changed = {name: {k for k, n in rows.items() if n != before[name].get(k, 0)} for name, rows in after.items()}
    assert {"authz_policy_info"} == {name for name, labels in changed.items() if labels}
    named = {value for rows in after.values() for labels in rows for value in labels}
    assert named.isdisjoint({"route=/about", "route=/cache", "scope=memory:write", "scope=admin:read"})
    assert {"route=/memory/{id}", "route=/photos", "scope=memory:read", "scope=photos:read"} <= named
    assert after["authz_policy_info"] == {("revision=r2",): 1}
    meter.decided(asked(), decided("public_route", [], "/about"), 0.003)
    assert changes(after)["authz_scope_requests_total"] == {
        ("decision=allow", "method=other", "route=other", "scope=none"): 1
    }


@pytest.mark.slow
def test_too_large_a_catalogue_is_cut_at_the_cap(meter: DecisionMeter) -> None:
    """Past the cap, in catalogue order, decisions count under route `other` and in the overflow counter."""
    many = Catalogue(
        scopes=("s",),
        roles=(),
        routes=tuple(CatalogueRoute("GET", f"/{n}", all_of=("s",)) for n in range(2_000)),
    )
    meter.bind(many)
    before = series()
    for route in ("/0", "/1999"):
        meter.decided(asked(), decided("scope_granted", ["s"], route), 0.003)
        meter.decided(asked(), decided("scope_granted", ["s"], route), 0.003)
        meter.request_finished(route, "GET", 200, 0.003)
    sizes = {
        name: len(before[name])
        for name in ("authz_scope_requests_total", "authz_requests_total", "authz_request_duration_seconds_count")
    }
    grown = changes(before)
    names = ("authz_scope_requests_total", "authz_requests_total", "authz_metric_label_overflow_total")
    assert (sizes, {name: grown[name] for name in names}) == (
        {
            "authz_scope_requests_total": metrics.MAX_COUNTER_CHILDREN,
            "authz_requests_total": metrics.MAX_COUNTER_CHILDREN,
            "authz_request_duration_seconds_count": metrics.MAX_HISTOGRAM_CHILDREN,
        },
        {
            "authz_scope_requests_total": {
                ("decision=allow", "method=GET", "route=/0", "scope=s"): 2,
                ("decision=allow", "method=other", "route=other", "scope=s"): 2,
            },
            "authz_requests_total": {
                ("code=200", "method=GET", "route=/0"): 1,
                ("code=200", "method=GET", "route=other"): 1,
            },
            "authz_metric_label_overflow_total": {
                ("metric=authz_scope_requests_total",): 2,
                ("metric=authz_requests_total",): 1,
                ("metric=authz_request_duration_seconds",): 1,
            },
        },
    )


def exemplars() -> dict[str, set[tuple[str, str | None]]]:
    """What the exemplars of each histogram point at: pairs of decision and trace."""
    found: dict[str, set[tuple[str, str | None]]] = {}
    for family in metrics.REGISTRY.collect():
        for sample in family.samples:
            if sample.exemplar is not None:
                labels = sample.exemplar.labels
                found.setdefault(family.name, set()).add((labels["decision_id"], labels.get("trace_id")))
    return found


def test_exemplars_are_on_the_sampled_the_slow_and_the_denied(meter: DecisionMeter) -> None:
    """An allow that is neither slow nor of a sampled trace has no exemplar; the others name decision and trace."""
    seen = exemplars()
    rows = (
        ("plain", False, "scope_granted", 0.0031),
        ("sampled", True, "scope_granted", 0.0002),
        ("slow", False, "scope_granted", 1.5),
        ("denied", False, "scope_missing", 0.02),
    )
    for name, sampled, reason, seconds in rows:
        question = replace(asked(), trace_id=f"t-{name}", trace_sampled=sampled)
        answer = replace(decided(reason, ["memory:read"], "/memory/{id}"), id=f"d-{name}")
        meter.decided(question, answer, seconds)
        meter.request_finished("/memory/{id}", "GET", 200, seconds, question, answer)
    new = {name: pairs - seen.get(name, set()) for name, pairs in exemplars().items()}
    wanted = {(f"d-{name}", f"t-{name}") for name in ("sampled", "slow", "denied")}
    assert {name: pairs for name, pairs in new.items() if pairs} == dict.fromkeys(
        ("authz_decision_duration_seconds", "authz_scope_latency_seconds", "authz_request_duration_seconds"), wanted
    )


def test_what_nobody_enforces_counts_on_its_own(meter: DecisionMeter) -> None:
    """Decisions and requests of a caller that only observes are in families of their own and in no other."""
    before = series()
    observed = replace(asked(), caller=Caller("t", observes=True))
    meter.decided(observed, decided("scope_granted", ["memory:read"], "/memory/{id}"), 0.003)
    meter.decided_all([(observed, decided("made_up", [], "/memory/{id}"))], 0.003)
    meter.decided(observed, answer := decided("audit_unavailable", [], "/memory/{id}"), 0.003)
    meter.request_finished("/memory/{id}", "GET", 200, 0.1, observed, answer)
    meter.request_finished("/memory/{id}", "GET", 503, 0.1, observed)
    assert changes(before) == {
        "authz_observed_decisions_total": {
            ("decision=allow", "reason=scope_granted"): 1,
            ("decision=deny", "reason=other"): 1,
            ("decision=error", "reason=audit_unavailable"): 1,
        },
        "authz_observed_requests_total": {("code=200",): 1, ("code=503",): 1},
        "authz_metric_label_overflow_total": {("metric=authz_observed_decisions_total",): 1},
    }


def test_a_batch_counts_as_its_decisions_would_alone(meter: DecisionMeter) -> None:
    """A batch of decisions counts exactly what they count one by one."""
    batch = [
        (asked(), decided("scope_granted", ["memory:read"], "/memory/{id}")),
        (asked(), decided("scope_granted", ["memory:read"], "/memory/{id}")),
        (asked("PUT"), decided("scope_missing", ["memory:write"], "/memory/{id}")),
        (asked("BREW"), decided("made_up", [], None)),
    ]
    before = series()
    for request, decision in batch:
        meter.decided(request, decision, 0.003)
    alone, between = changes(before), series()
    meter.decided_all(batch, 0.003)
    assert alone == changes(between)


def record(decision: Literal["allow", "deny", "error"]) -> Event:
    """The record of a decision."""
    body = DecisionBody(decision=decision, reason="x", revision="r", engine="e", dialect="d", caller="c")
    return Event("1", "auth.scope_granted", body)


def test_an_answer_without_a_record_is_noticed(meter: DecisionMeter) -> None:
    """Allows and denials that were neither recorded nor counted as unrecorded, nor are owed, are missing."""
    allow = decided("scope_granted", ["memory:read"], "/memory/{id}")
    noticed = []
    for event in (record("allow"), record("deny"), None, record("allow")):
        if event is not None:
            meter.recorded(event)
        meter.decided(asked(), allow, 0.003)
        noticed.append(meter.most_missing)
        list(meter.carry_over())
    assert (noticed, meter.most_missing) == ([0, 0, 1, 1], 1)


def test_what_is_unrecorded_owed_or_undecided_is_not_missing(meter: DecisionMeter) -> None:
    """What is counted as unrecorded, what is owed and then recorded, and what was no answer are all accounted for."""
    allow = decided("scope_granted", ["memory:read"], "/memory/{id}")
    meter.unrecorded(record("allow"), "allow")
    meter.decided(asked(), allow, 0.003)
    meter.owed(record("allow"))
    meter.decided(asked(), allow, 0.003)
    meter.paid(record("allow"))
    meter.decided(asked(), decided("audit_unavailable"), 0.003)
    assert meter.most_missing == 0
    meter.decided(asked(), allow, 0.003)
    assert meter.most_missing == 1


def test_records_of_decisions_are_counted_by_what_was_decided(meter: DecisionMeter) -> None:
    """A decision's record counts as an event and as a decision; any other record only as an event."""
    before = series()
    meter.recorded(record("allow"))
    meter.recorded(Event("2", "admin.access", {"decision": "allow"}))
    assert changes(before) == {
        "authz_audit_events_total": {("type=auth.scope_granted",): 1, ("type=admin.access",): 1},
        "authz_audit_decisions_total": {("decision=allow",): 1},
    }


def test_a_reader_who_gives_up_costs_no_counts(meter: DecisionMeter) -> None:
    """A scrape that is broken off half-way leaves everything counted, once."""
    before = series()
    for route in ("/memory/{id}", "/about", None):
        meter.request_finished(route, "GET", 200, 0.003)
    meter.audited("api.request")
    half = meter.carry_over()
    next(half)
    del half
    grown = changes(before)
    assert (sum(grown["authz_requests_total"].values()), grown["authz_audit_events_total"]) == (
        3,
        {("type=api.request",): 1},
    )


def test_a_gauge_or_counter_of_anybodys_has_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for more label sets than a metric may have gets the one called `other`, and it is counted."""
    level = Gauge("authz_test_level", "A level.", ("place", "kind"))
    monkeypatch.setattr(Gauge, "max_children", 3)
    before = series()
    for n in range(10):
        level.labels(f"p{n}", "k").inc()
        level.labels(place=f"p{n}", kind="k").inc()
    assert (level.label_sets(), changes(before)) == (
        [("p0", "k"), ("p1", "k"), ("p2", "k"), ("other", "other")],
        {"authz_metric_label_overflow_total": {("metric=authz_test_level",): 14}},
    )


def test_buckets_hold_the_objectives_thresholds() -> None:
    """0.5 and 2.0 are bucket bounds of everything in seconds, and no histogram has more than 15 buckets."""
    families = {family.name: family for metric in metrics.REGISTRY.collect() for family in [metric]}
    bounds = {
        name: {sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")}
        for name, family in families.items()
        if family.type == "histogram" and name.endswith("_seconds")
    }
    expected = {*map(str, metrics.BUCKETS_SECONDS), "+Inf"}
    assert (len(bounds), {"0.0005", "0.5", "2.0"} <= expected, len(expected) <= 16) == (7, True, True)
    assert all(found == expected for found in bounds.values())


def test_build_is_told() -> None:
    """`authz_build_info` is 1 and names the version."""
    (labels,) = series()["authz_build_info"]
    assert f"version={__version__}" in labels


async def test_metrics_are_served_in_full() -> None:
    """What is served is everything in the registry, the process's own metrics among it, without `_created`."""
    body, content_type = await metrics.render("application/openmetrics-text")
    names = {line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")}
    assert content_type.startswith("application/openmetrics-text")
    assert {"authz_decisions", "authz_event_loop_lag_seconds", "process_cpu_seconds"} <= names
    assert b"_created" not in body


async def test_the_loops_lag_is_sampled() -> None:
    """While the watch runs, every interval adds one sample."""

    def samples() -> float:
        return metrics.REGISTRY.get_sample_value("authz_event_loop_lag_seconds_count") or 0

    before = samples()
    watch = asyncio.create_task(metrics.watch_event_loop(0.001))
    while samples() < before + 3:
        await asyncio.sleep(0.001)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


def test_the_reference_lists_every_metric() -> None:
    """The page in the documentation has a row for each metric of the registry (`tools/generate.py --check`: fresh)."""
    page = metrics.reference(vars(metrics))
    names = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("authz_")}
    assert names == {name for name in names if f"| `{name}" in page}
