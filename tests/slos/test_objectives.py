"""The objectives are data, and data that cannot be used is refused."""

from importlib import resources

import pytest
import yaml

from authz import metrics
from authz.slos import ObjectivesError, objectives, read_objectives

TEXT = resources.files("authz.slos").joinpath("objectives.yaml").read_text()


def test_the_seven_promises() -> None:
    """The objectives are those of the mission, each with its promise and a stricter warning."""
    assert {each.name: (each.target, each.alerts, each.tolerant) for each in objectives()} == {
        "api-availability": (0.999, ("page", "ticket"), True),
        "api-latency": (0.95, ("page", "ticket"), True),
        "auth-success": (0.995, ("page", "ticket"), True),
        "auth-latency": (0.95, ("page", "ticket"), True),
        "errors-5xx": (0.995, ("ticket",), True),
        "errors-4xx": (0.95, ("ticket",), True),
        "audit-integrity": (0.999999999, ("page",), False),
    }
    assert all(each.warning >= each.target for each in objectives())
    assert {each.window_days for each in objectives()} == {30}


def test_they_are_about_metrics_that_exist() -> None:
    """Every series that a query names is there, at zero, with the thresholds among the buckets."""
    metrics.DecisionMeter()
    text = "".join(metrics.REGISTRY.pieces(openmetrics=False))
    names = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert frozenset[str]().union(*(each.metrics for each in objectives())) <= names
    for threshold, metric in (("2.0", "authz_request_duration_seconds"), ("0.5", "authz_decision_duration_seconds")):
        assert f'le="{threshold}"' in TEXT
        assert any(line.startswith(f"{metric}_bucket") and f'le="{threshold}"' in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("target: 0.999}", "target: 1.0}", "api-availability: objectives"),
        ("displayName: warning, target: 0.97", "displayName: critical, target: 0.97", "objectives: `critical`"),
        ("openslo/v1", "openslo/v2", "apiVersion"),
        ("counter: true", "counter: false", "counter"),
        ("duration: 30d", "duration: 1M", "timeWindow.duration"),
        ("isRolling: true", "isRolling: false", "isRolling"),
        ("authz/alerts: page", "authz/alerts: shout", "authz/alerts"),
        ("sum(authz_requests_total)", "rate(authz_requests_total[5m])", "query"),
        ("kind: SLO", "kind: [SLO", "not YAML"),
    ],
)
def test_what_cannot_be_used_is_refused(old: str, new: str, told: str) -> None:
    """Another version, another method, a target that is none or a query that is too much: each is named."""
    assert old in TEXT
    with pytest.raises(ObjectivesError, match=told):
        read_objectives(TEXT.replace(old, new))


def test_it_is_openslo() -> None:
    """Every document has OpenSLO's version, kind and metadata, and every SLO names the one service."""
    documents = list(yaml.safe_load_all(TEXT))
    assert {each["apiVersion"] for each in documents} == {"openslo/v1"}
    assert [each["kind"] for each in documents] == ["Service", *["SLO"] * 7]
    assert {each["spec"]["service"] for each in documents[1:]} == {documents[0]["metadata"]["name"]}
