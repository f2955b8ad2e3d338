"""Prometheus rules: recordings and multi-window, multi-burn-rate alerts of the objectives, and the other alerts.

Names are those that Sloth generates, so that its dashboards work. The method is that of the SRE workbook, chapter 5:
page at a burn rate of 14.4 over 1 h and of 6 over 6 h, ticket at 3 over 1 d and at 1 over 3 d, each confirmed by a
window of a twelfth; and none of it below so many events.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from authz import __version__
from authz.slos.alerts import Alert, alerts
from authz.slos.objectives import Objective, objectives

RUNBOOKS: Final = "docs/runbooks/{alert}.md"
"""Where an alert points: a path in the repository, or a URL; `{alert}` is its name."""

MIN_EVENTS: Final = 100
"""The traffic floor: with fewer events in the longer window no share of them pages anybody."""

_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_FLOORS: Final = ("1h", "6h", "1d", "3d")
_DURATION: Final = re.compile(r"(?<=\[)([0-9]+)([smhd])(?=\])|(?<=offset )([0-9]+)([smhd])\b")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Burn(NamedTuple):
    """One condition: this burn rate over both windows."""

    rate: float
    short: str
    long: str


_BURNS: Final[dict[str, tuple[_Burn, ...]]] = {
    "page": (_Burn(14.4, "5m", "1h"), _Burn(6, "30m", "6h")),
    "ticket": (_Burn(3, "2h", "1d"), _Burn(1, "6h", "3d")),
}
_SEVERITIES: Final = {"page": "critical", "ticket": "warning"}


_RECORDED: Final = {
    # What alerts.yaml compares with its own past: a rate over a long window would take missing data for silence.
    "authz:scope_usage:rate15m": "sum by (job, scope) (rate(authz_scope_usage_total[15m]))",
}


class Scale(NamedTuple):
    """How much shorter than in the file all windows and waits are: 1, but for tests against a real server."""

    factor: float = 1.0

    def window(self, text: str) -> str:
        """A duration, shortened."""
        if self.factor == 1:
            return text
        return f"{max(1, round(int(text[:-1]) * _SECONDS[text[-1]] / self.factor * 1000))}ms"

    def expression(self, text: str) -> str:
        """An expression with all its windows shortened."""
        return _DURATION.sub(lambda m: self.window((m[1] or m[3]) + (m[2] or m[4])), text)


def rules(*, runbooks: str = RUNBOOKS, factor: float = 1.0) -> str:
    """The file of rules, as YAML.

    `runbooks`: URL of a runbook, with `{alert}` for its name. `factor`: divide all windows by this (tests).
    """
    scale = Scale(factor)
    groups = [group for each in objectives() if each.tolerant for group in _objective(each, scale, runbooks)]
    recorded = [{"record": name, "expr": scale.expression(each)} for name, each in _RECORDED.items()]
    other = [_alert(each, scale, runbooks) for each in alerts()]
    # One group, so that a rule sees what those before it recorded at the same moment.
    groups.append({"name": "authz-alerts", "rules": [*recorded, *other]})
    head = "# Made by `authz slo rules` from authz/slos/objectives.yaml and alerts.yaml. Do not edit.\n"
    return head + yaml.safe_dump({"groups": groups}, sort_keys=False, width=200, allow_unicode=True)


def alert_names() -> tuple[str, ...]:
    """Every alert there is."""
    return (*(burn_alert(each) for each in objectives() if each.tolerant), *(each.alert for each in alerts()))


def burn_alert(objective: Objective) -> str:
    """The name of an objective's alert; page and ticket share it."""
    return f"Authz{''.join(part.capitalize() for part in objective.name.split('-'))}Burn"


def _objective(objective: Objective, scale: Scale, runbooks: str) -> Iterator[dict[str, Any]]:
    name = f"authz-{objective.name}"
    yield {"name": f"sloth-slo-sli-recordings-{name}", "rules": list(_recordings(objective, scale))}
    yield {"name": f"sloth-slo-meta-recordings-{name}", "rules": list(_meta(objective))}
    yield {
        "name": f"sloth-slo-alerts-{name}",
        "rules": [_burning(objective, runbooks, a) for a in objective.alerts],
    }


def _labels(objective: Objective, **more: str) -> dict[str, str]:
    return {"sloth_id": f"authz-{objective.name}", "sloth_service": "authz", "sloth_slo": objective.name, **more}


def _recordings(objective: Objective, scale: Scale) -> Iterator[dict[str, Any]]:
    for window in _WINDOWS:
        per_series = f"rate({{}}[{scale.window(window)}])"
        bad, total = (q.promql(lambda s: per_series.replace("{}", s)) for q in (objective.bad, objective.total))  # noqa: B023
        yield {
            "record": f"slo:sli_error:ratio_rate{window}",
            # Without traffic there is no sample instead of NaN.
            "expr": f"(({bad}) or vector(0)) / (({total}) > 0)",
            "labels": _labels(objective, sloth_window=window),
        }
    for window in _FLOORS:
        counted = f"increase({{}}[{scale.window(window)}])"
        yield {
            "record": f"slo:sli_events:increase{window}",
            "expr": objective.total.promql(lambda s: counted.replace("{}", s)),  # noqa: B023
            "labels": _labels(objective, sloth_window=window),
        }
    days = f"{objective.window_days}d"
    recorded = f'slo:sli_error:ratio_rate5m{{sloth_id="authz-{objective.name}"}}[{scale.window(days)}]'
    yield {
        "record": f"slo:sli_error:ratio_rate{days}",
        "expr": f"sum_over_time({recorded}) / ignoring (sloth_window) count_over_time({recorded})",
        "labels": _labels(objective, sloth_window=days),
    }


def _meta(objective: Objective) -> Iterator[dict[str, Any]]:
    chosen = f'{{sloth_id="authz-{objective.name}"}}'
    budget = f"on(sloth_id, sloth_slo, sloth_service) group_left slo:error_budget:ratio{chosen}"
    period = f"slo:sli_error:ratio_rate{objective.window_days}d{chosen}"
    told = {
        "slo:objective:ratio": f"vector({objective.target})",
        "slo:error_budget:ratio": f"vector(1 - {objective.target})",
        "slo:time_period:days": f"vector({objective.window_days})",
        "slo:current_burn_rate:ratio": f"slo:sli_error:ratio_rate5m{chosen} / {budget}",
        "slo:period_burn_rate:ratio": f"{period} / {budget}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{chosen}",
    }
    for name, expression in told.items():
        yield {"record": name, "expr": expression, "labels": _labels(objective)}
    info = {
        "sloth_mode": "authz-slo-rules",
        "sloth_objective": f"{objective.target * 100:g}",
        "sloth_spec": "openslo/v1",
    }
    yield {
        "record": "sloth_slo_info",
        "expr": "vector(1)",
        "labels": _labels(objective, sloth_version=__version__, **info),
    }


def _burning(objective: Objective, runbooks: str, alert: str) -> dict[str, Any]:
    name = burn_alert(objective)
    chosen = f'{{sloth_id="authz-{objective.name}"}}'
    conditions = [_condition(chosen, objective, burn) for burn in _BURNS[alert]]
    return {
        "alert": name,
        "expr": "\nor\n".join(conditions),
        "labels": {"severity": _SEVERITIES[alert], **_labels(objective, sloth_severity=alert)},
        "annotations": {
            "summary": f"{objective.title}: the error budget is used up {'fast' if alert == 'page' else 'too fast'}.",
            "description": f"{objective.description} Promised: {objective.target:.3%} in {objective.window_days} days.",
            "runbook_url": runbooks.replace("{alert}", name),
        },
    }


def _condition(chosen: str, objective: Objective, burn: _Burn) -> str:
    limit = f"({burn.rate:g} * (1 - {objective.target}))"
    return (
        f"(max(slo:sli_error:ratio_rate{burn.short}{chosen} > {limit}) without (sloth_window)\n"
        f"  and max(slo:sli_error:ratio_rate{burn.long}{chosen} > {limit}) without (sloth_window)\n"
        f"  and max(slo:sli_events:increase{burn.long}{chosen} > {MIN_EVENTS}) without (sloth_window))"
    )


def _alert(alert: Alert, scale: Scale, runbooks: str) -> dict[str, Any]:
    waits = {} if alert.pending == "0s" else {"for": scale.window(alert.pending)}
    return {
        "alert": alert.alert,
        "expr": scale.expression(alert.expr),
        **waits,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": runbooks.replace("{alert}", alert.alert)},
    }
