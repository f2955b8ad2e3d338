"""The rules for Prometheus: made from the data, checked by promtool, and every case of theirs seen to fail."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz import metrics
from authz.slos import ObjectivesError, alert_names, alerts, objectives, read_alerts, rules
from tests.conftest import ROOT, missing

PROMETHEUS = ROOT / "deploy" / "prometheus"
CASES = [each for file in sorted(PROMETHEUS.glob("tests/*.yml")) for each in yaml.safe_load(file.read_text())["tests"]]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run promtool."""
    program = shutil.which("promtool") or missing("promtool")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def made(text: str) -> list[dict[str, Any]]:
    """Every rule of a file."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def fired(case: dict[str, Any]) -> list[str]:
    """The alerts that a case expects."""
    (expected,) = case["promql_expr_test"]
    found = (re.search(r'alertname="(\w+)"', each["labels"]) for each in expected["exp_samples"])
    return [match[1] for match in found if match]


def test_promtool_takes_the_rules() -> None:
    """The file that is checked in is one for Prometheus."""
    found = promtool("check", "rules", PROMETHEUS / "rules.yml")
    assert (found.returncode, "SUCCESS" in found.stdout) == (0, True), found.stderr


def test_every_alert_has_a_case_and_every_page_a_case_in_which_it_is_quiet() -> None:
    """No alert is there that was not seen to fire, and no case expects one that there is not."""
    assert {name for case in CASES for name in fired(case)} == set(alert_names())
    assert sum(not fired(case) for case in CASES) >= 10


@pytest.mark.slow
def test_the_cases_hold() -> None:
    """`promtool test rules` finds every alert firing when it should, and nothing beside it."""
    found = promtool("test", "rules", *sorted(PROMETHEUS.glob("tests/*.yml")))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "failing"),
    [("vector(0) > 1", [case for case in CASES if fired(case)]), ("vector(1)", [c for c in CASES if not fired(c)])],
    ids=["rules that never fire", "rules that always fire"],
)
def test_every_case_fails_on_broken_rules(tmp_path: Path, mutant: str, failing: list[dict[str, Any]]) -> None:
    """With rules that never fire every case that expects one fails; with rules that always do, every quiet one."""
    document = yaml.safe_load(rules())
    for group in document["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = mutant
                rule.pop("for", None)
    document["groups"] = [{"name": "all", "rules": [r for g in document["groups"] for r in g["rules"] if "alert" in r]}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document))
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": "4m", "tests": failing}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    found = promtool("test", "rules", tmp_path / "cases.yml")
    assert (found.returncode, (found.stdout + found.stderr).count("exp:")) == (1, len(failing))


def test_names_are_sloths() -> None:
    """Recordings, labels and groups are called as Sloth calls them, for every objective with a budget."""
    document = yaml.safe_load(rules())
    budgets = [each.name for each in objectives() if each.tolerant]
    kinds = ("sli-recordings", "meta-recordings", "alerts")
    groups = [f"sloth-slo-{kind}-authz-{name}" for name in budgets for kind in kinds]
    assert [group["name"] for group in document["groups"]] == [*groups, "authz-alerts"]
    first = document["groups"][0]["rules"][0]
    assert (first["record"], first["labels"]) == (
        "slo:sli_error:ratio_rate5m",
        {
            "sloth_id": "authz-api-availability",
            "sloth_service": "authz",
            "sloth_slo": "api-availability",
            "sloth_window": "5m",
        },
    )
    told = {rule["record"] for rule in document["groups"][1]["rules"]}
    assert told == {
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
        "sloth_slo_info",
    }


def test_pages_are_critical_and_tickets_warnings() -> None:
    """Every alert says how bad it is, in both ways of saying it."""
    severities = {
        (rule["labels"].get("sloth_severity"), rule["labels"]["severity"]) for rule in made(rules()) if "alert" in rule
    }
    assert severities == {
        ("page", "critical"),
        ("ticket", "warning"),
        *((None, s) for s in ("critical", "warning", "info")),
    }


def test_rules_are_about_metrics_that_exist() -> None:
    """Every metric of ours that a rule names is one that a sidecar has."""
    metrics.DecisionMeter()
    known = {family.name for family in metrics.REGISTRY.collect()}
    known |= {metric.registered_name for metric in vars(metrics).values() if hasattr(metric, "registered_name")}
    named = {name for rule in made(rules()) for name in re.findall(r"\bauthz_[a-z_]+", rule["expr"])}
    assert {name for name in named if re.sub(r"_(bucket|count|sum)$", "", name) not in known} == set()


def test_windows_can_be_shortened() -> None:
    """For trying out, every window and wait is divided by the same factor; nothing else changes."""
    assert rules(factor=1) == rules()
    short = rules(factor=60)
    assert "[5m]" not in short
    assert "[5000ms]" in short
    assert "offset 60000ms" in short
    assert "for: 500ms" in rules(factor=120)
    window = r"(?<=\[)[0-9]+[smhd](?=\])|(?<=offset )[0-9]+[smhd]|(?<=for: )[0-9]+[smhd]"
    assert re.sub(r"[0-9]+ms", "T", short).split() == re.sub(window, "T", rules()).split()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("- {alert: AuthzX, severity: loud, expr: up, summary: s}", "severity"),
        ("- {alert: OtherX, severity: info, expr: up, summary: s}", "alert"),
        ("- {alert: AuthzX, severity: info, expr: up}", "summary"),
        ("- {alert: AuthzX, severity: info, expr: up, summary: s, for: soon}", "for"),
        ("- {alert: AuthzX, severity: info, expr: up, summary: s, colour: red}", "colour"),
        ("- {alert: AuthzX, severity: info, expr: up, summary: s}\n" * 2, "there twice"),
        ("- {", "alerts"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(row: str, told: str) -> None:
    """Whoever adds an alert is told what is wrong with it."""
    with pytest.raises(ObjectivesError, match=told):
        read_alerts(row)


@pytest.mark.parametrize("alert", alert_names())
def test_every_alert_has_a_runbook(alert: str) -> None:
    """The page that an alert points to is there and says what it means, where to look and what to do."""
    page = (ROOT / "docs" / "runbooks" / f"{alert}.md").read_text()
    assert page.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE)[:3] == ["What it means", "Look", "Do"]


def test_every_runbook_is_an_alerts() -> None:
    """No page is left of an alert that is gone; all of them are listed."""
    pages = {file.stem for file in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    listed = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    assert pages == set(alert_names())
    assert {name for name in pages if f"({name}.md)" not in listed} == set()


def test_there_are_alerts_of_every_severity() -> None:
    """The mission's: something pages, something warns, something informs."""
    assert {each.severity for each in alerts()} == {"critical", "warning", "info"}


def test_alertmanager_takes_its_file() -> None:
    """The file is one for Alertmanager, and sends each severity to its receiver."""
    program = shutil.which("amtool") or missing("amtool (prometheus-alertmanager)")
    file = f"--config.file={PROMETHEUS / 'alertmanager.yml'}"
    checked = subprocess.run(
        [program, "check-config", PROMETHEUS / "alertmanager.yml"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    routed = {
        severity: subprocess.run(
            [program, "config", "routes", "test", file, f"severity={severity}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for severity in ("critical", "warning", "info")
    }
    assert routed == {"critical": "pager", "warning": "tickets", "info": "channel"}
