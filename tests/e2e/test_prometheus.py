"""A real Prometheus with the shipped configuration, rules and dashboards, and a real sidecar under mixed traffic."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from authz import slos
from authz.audit import get_audit_events
from authz.identity import mint_token
from tests.conftest import ROOT
from tests.processes import Sidecar, sidecar, wait_for
from tests.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = 600
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


class Watched(NamedTuple):
    """A sidecar that was driven, and a Prometheus that has seen all of it."""

    sidecar: Sidecar
    driven: slos.Driven
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Mixed traffic, a sampled trace and a change of configuration, scraped before, during and after."""
    place = tmp_path_factory.mktemp("watched")
    with sidecar(place / "state") as running, prometheus(place / "prometheus", running.admin) as server:
        wait_for("the first scrape", lambda: server.query("authz_build_info"))
        tokens = {role: mint_token(running.state, role, [role]) for role in slos.ROLES}
        driven = slos.drive(running.decision, tokens, REQUESTS)
        send_traced(running, tokens["user_basic"])
        level = Request(f"{running.admin}/v1/log/level", data=b'{"level": "info"}', method="POST")
        level.add_header("Authorization", f"Bearer {tokens['admin']}")
        level.add_header("Content-Type", "application/json")
        urlopen(level, timeout=20).close()
        wait_for("a scrape after the traffic", lambda: server.query(f"sum(authz_requests_total) == {REQUESTS + 1}"))
        wait_for("two evaluations of the rules", lambda: server.query("slo:period_error_budget_remaining:ratio"))
        yield Watched(running, driven, server)


def test_prometheus_the_ledger_and_the_generator_count_the_same(watched: Watched) -> None:
    """What Prometheus has is, type by type and status by status, what the ledger holds and the generator saw."""
    statuses = {row["code"]: n for row, n in watched.prometheus.query("sum by (code) (authz_requests_total) > 0")}
    counted = {row["type"]: n for row, n in watched.prometheus.query("authz_audit_events_total > 0")}
    decided = {
        row["decision"]: n for row, n in watched.prometheus.query("sum by (decision) (authz_decisions_total) > 0")
    }
    events = get_audit_events(limit=REQUESTS + 100, path=watched.sidecar.state)
    mine = [event for event in events if event["stream"] == "worker-0"] if "stream" in events[0] else events
    types = Counter(event["type"] for event in mine)

    assert watched.driven.wrong == ()
    assert statuses == {str(s): n + (s == 200) for s, n in watched.driven.statuses.items()}
    assert {name: n for name, n in counted.items() if name in types} == {
        name: n for name, n in types.items() if name in counted
    }
    decisions = ("auth.", "security.", "admin.access")
    assert decided == Counter(event["decision"] for event in mine if event["type"].startswith(decisions))
    assert watched.prometheus.query("sum(authz_audit_decisions_total)")[0][1] == sum(decided.values())


def test_the_objectives_are_judged_by_prometheus_as_by_the_sidecar(watched: Watched) -> None:
    """Both sources lead to the same verdicts."""
    there = slos.judge_all(slos.open_source([watched.prometheus.url], window="1h"))
    here = slos.judge_all(slos.open_source([watched.sidecar.admin]))
    assert {v.objective: v.state for v in there.verdicts} == {v.objective: v.state for v in here.verdicts}


def test_exemplars_are_stored_and_lead_to_the_record(watched: Watched) -> None:
    """The sampled trace's exemplar is in Prometheus, and names a decision that is in the ledger with that trace."""
    labels = exemplars(watched)
    for _ in range(10):
        if any(each.get("trace_id") == TRACE for each in labels):
            break
        # A bucket has room for one between two scrapes, and on a busy machine another may have been slower.
        send_traced(watched.sidecar, mint_token(watched.sidecar.state, "user_basic", ["user_basic"]))
        time.sleep(2)
        labels = exemplars(watched)
    decisions = {each["decision_id"] for each in labels if each.get("trace_id") == TRACE}
    recorded = [e for e in get_audit_events(limit=50, path=watched.sidecar.state) if e["id"] in decisions]
    assert decisions
    assert [event["trace_id"] for event in recorded] == [TRACE] * len(decisions)
    assert len({each["decision_id"] for each in labels}) > 1  # denials have one too


def exemplars(watched: Watched) -> list[dict[str, str]]:
    """The labels of every exemplar of request durations that Prometheus has stored."""
    found = watched.prometheus.get(
        "query_exemplars", query="authz_request_duration_seconds_bucket", start="0", end="9999999999"
    )
    return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]


def send_traced(running: Sidecar, token: str) -> None:
    """A request whose trace is sampled."""
    fields = {"Authorization": f"Bearer {token}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    urlopen(Request(f"{running.decision}/check/envoy/memory", headers=fields), timeout=20).close()


def targets(file: Path) -> list[tuple[str, str, bool]]:
    """Panel, expression and whether exemplars are shown, of a dashboard and its annotations."""
    board = json.loads(file.read_text())
    panels = [panel for each in board["panels"] for panel in (each, *each.get("panels", ()))]
    found = [
        (panel["title"], target["expr"], target.get("exemplar", False))
        for panel in panels
        for target in panel.get("targets", ())
    ]
    return [*found, *(("annotation", each["expr"], False) for each in board["annotations"]["list"])]


def substituted(expression: str) -> str:
    """The expression as Grafana would send it, everything chosen."""
    values = {"__rate_interval": "30s", "__interval": "5s", "__range": "5m"}
    text = re.sub(r"\$(__\w+)", lambda m: values[m[1]], expression)
    text = re.sub(r"\$(job|instance|route|scope)\b", ".*", text)
    assert "$" not in text, text
    return text


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_has_data(watched: Watched, file: Path) -> None:
    """Every query of every panel parses and gives data; those that show exemplars have some."""
    for title, expression, exemplars in targets(file):
        asked = substituted(expression)
        watched.prometheus.get("format_query", query=asked)
        # Retried: on a busy machine a scrape can miss its second.
        wait_for(f"data for {title}: {asked}", lambda: watched.prometheus.query(asked))  # noqa: B023
        if exemplars:
            found = watched.prometheus.get("query_exemplars", query=asked, start="0", end="9999999999")
            assert any(series["exemplars"] for series in found), title


def test_the_six_panels_are_there() -> None:
    """The overview has the six of the mission, and both pages mark changes on every panel."""
    board: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "overview.json").read_text())
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == [
        "SLO status",
        "Errors: 401, 403, 429 and 5xx",
        "Scope usage",
        "Audit integrity",
        "Latency: P50, P95, P99",
        "Security events",
    ]
    for file in DASHBOARDS:
        (changes,) = json.loads(file.read_text())["annotations"]["list"]
        assert all(word in changes["expr"] for word in ("policy", "revoked", "key_rotated", "config_changed"))
