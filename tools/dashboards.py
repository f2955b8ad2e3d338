"""The dashboards as code; `tools/generate.py` writes them to deploy/grafana.

Queries are about metrics that every sidecar has from its start, so that no panel is empty on the first day. A latency
panel shows exemplars: the data source (deploy/grafana/datasources.yml) makes a link of their `decision_id`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HERE = 'job=~"$job",instance=~"$instance"'
_CHANGES = "policy[.](activated|rejected)|auth[.]revoked|audit[.]key_rotated|admin[.]config_changed|system[.]startup"
_SECURITY = (
    "security[.].*|auth[.](revoked|error)|admin[.].*|policy[.].*|audit[.](degraded|gap|damaged|refused|key_rotated)"
)
_QUANTILES = ("0.5", "0.95", "0.99")


class Query(NamedTuple):
    """One query of a panel, and how its series are called."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    instant: bool = False


Panel = stat.Panel | timeseries.Panel | heatmap.Panel | table.Panel


def overview() -> str:
    """The six panels: objectives, errors, scopes, audit integrity, latency, security events."""
    board = _board("authz-overview", "authz: overview", "What is promised and how it stands, and who uses which scope.")
    board.with_row(dashboard.Row("SLO status"))
    board.with_panel(_budgets().span(10).height(7))
    board.with_panel(
        _series(
            "Burn rate (1 uses up the budget in 30 days)",
            [Query("slo:current_burn_rate:ratio", "{{sloth_slo}}")],
            thresholds=[(0, "green"), (1, "orange"), (14.4, "red")],
        )
        .span(8)
        .height(7)
    )
    board.with_panel(
        _series(
            "Decisions per second, and the raw share of allows",
            [
                Query(f"sum by (decision) (rate(authz_decisions_total{{{_HERE}}}[$__rate_interval]))", "{{decision}}"),
                Query(
                    f'sum(rate(authz_decisions_total{{{_HERE},decision="allow"}}[$__rate_interval]))'
                    f" / (sum(rate(authz_decisions_total{{{_HERE}}}[$__rate_interval])) > 0)",
                    "share of allows",
                ),
            ],
        )
        .span(6)
        .height(7)
    )
    board.with_row(dashboard.Row("Errors: 401, 403, 429 and 5xx"))
    failing = f'authz_requests_total{{{_HERE},code=~"401|403|429|5.."}}'
    board.with_panel(
        _bars(
            "Error rate by endpoint",
            [Query(f"sum by (route, code) (rate({failing}[$__rate_interval])) > 0 or vector(0)", "{{code}} {{route}}")],
        )
        .span(12)
        .height(8)
    )
    board.with_panel(
        _bars(
            "Errors by reason",
            [
                Query(
                    f"sum by (status, reason) (rate(authz_auth_failures_total{{{_HERE}}}[$__rate_interval])) > 0"
                    " or vector(0)",
                    "{{status}} {{reason}}",
                ),
                Query(
                    f'sum by (reason) (rate(authz_decisions_total{{{_HERE},decision="error"}}[$__rate_interval])) > 0'
                    " or vector(0)",
                    "503 {{reason}}",
                ),
            ],
        )
        .span(12)
        .height(8)
    )
    board.with_row(dashboard.Row("Scope usage"))
    board.with_panel(_scopes().span(14).height(12))
    used = f'sum by (scope) (increase(authz_scope_usage_total{{{_HERE},scope!="other"}}[$__range]))'
    board.with_panel(_ranking("Most used scopes", f"sort_desc(topk(10, {used}))").span(5).height(12))
    board.with_panel(_ranking("Least used scopes", f"sort(bottomk(10, {used}))").span(5).height(12))
    board.with_row(dashboard.Row("Audit integrity"))
    for panel in _integrity():
        board.with_panel(panel)
    board.with_row(dashboard.Row("Latency: P50, P95, P99"))
    for title, metric, label in (
        ("Requests by route", "authz_request_duration_seconds", "route"),
        ("Decisions by scope", "authz_scope_latency_seconds", "scope"),
    ):
        board.with_panel(_quantiles(title, metric, label).span(12).height(10))
    board.with_row(dashboard.Row("Security events"))
    events = f'authz_audit_events_total{{{_HERE},type=~"{_SECURITY}"}}'
    board.with_panel(
        _bars(
            "Security events",
            [Query(f"sum by (type) (increase({events}[$__rate_interval])) > 0 or vector(0)", "{{type}}")],
        )
        .span(24)
        .height(8)
    )
    return _written(board)


def on_call() -> str:
    """The second page: engine, ledger, auditor, keys, bundle and process, for whoever was woken."""
    board = _board("authz-on-call", "authz: on call", "Where it hurts: engine, ledger, auditor, keys, bundle, process.")
    rate = "[$__rate_interval]"
    rows: dict[str, Sequence[tuple[str, str, Sequence[Query]]]] = {
        "Engine": (
            (
                "Could not decide, by reason",
                "reqps",
                [
                    Query(
                        f'sum by (reason) (rate(authz_decisions_total{{{_HERE},decision="error"}}{rate}))', "{{reason}}"
                    )
                ],
            ),
            (
                "Rebuilt after a trap",
                "short",
                [Query(f"sum by (instance) (increase(authz_engine_rebuilds_total{{{_HERE}}}{rate}))", "{{instance}}")],
            ),
            (
                "Token cache",
                "reqps",
                [Query(f"sum by (outcome) (rate(authz_token_cache_total{{{_HERE}}}{rate}))", "{{outcome}}")],
            ),
        ),
        "Ledger": (
            (
                "Durable events",
                "reqps",
                [Query(f"sum by (instance) (rate(authz_audit_events_total{{{_HERE}}}{rate}))", "{{instance}}")],
            ),
            (
                "On their way to the disk, and failures",
                "short",
                [
                    Query(f"authz_audit_pending{{{_HERE}}}", "pending {{instance}}"),
                    Query(
                        f"sum by (instance) (increase(authz_audit_failures_total{{{_HERE}}}{rate}))",
                        "failed {{instance}}",
                    ),
                ],
            ),
            (
                "What the disk takes for a group of records (P99)",
                "s",
                [
                    Query(
                        "histogram_quantile(0.99, sum by (instance, le) "
                        f"(rate(authz_audit_commit_duration_seconds_bucket{{{_HERE}}}{rate})))",
                        "{{instance}}",
                    )
                ],
            ),
            ("Room on the disk", "bytes", [Query(f"authz_audit_disk_free_bytes{{{_HERE}}}", "{{instance}}")]),
        ),
        "Auditor": (
            (
                "Age of the checkpoint",
                "s",
                [Query(f"authz_audit_checkpoint_age_seconds{{{_HERE}}}", "{{stream}} {{instance}}")],
            ),
            (
                "Records without a signature",
                "short",
                [Query(f"authz_audit_lag_records{{{_HERE}}}", "{{stream}} {{instance}}")],
            ),
            (
                "Alarms, damage, restarts",
                "short",
                [
                    Query(f"authz_audit_alarms{{{_HERE}}}", "alarms {{instance}}"),
                    Query(f"authz_audit_damage{{{_HERE}}}", "damage {{instance}}"),
                    Query(
                        f"sum by (instance) (increase(authz_auditor_starts_total{{{_HERE}}}{rate}))",
                        "starts {{instance}}",
                    ),
                ],
            ),
        ),
        "Keys and bundle": (
            ("Age of issuers' keys", "s", [Query(f"authz_jwks_age_seconds{{{_HERE}}}", "{{issuer}} {{instance}}")]),
            (
                "Policy revision in force",
                "short",
                [Query(f"authz_policy_info{{{_HERE}}}", "{{revision}} {{instance}}")],
            ),
            (
                "Policies refused",
                "short",
                [Query(f"sum by (reason) (increase(authz_policy_rejected_total{{{_HERE}}}{rate}))", "{{reason}}")],
            ),
        ),
        "Process": (
            (
                "Event loop: how late, P99",
                "s",
                [
                    Query(
                        "histogram_quantile(0.99, sum by (instance, le) "
                        f"(rate(authz_event_loop_lag_seconds_bucket{{{_HERE}}}{rate})))",
                        "{{instance}}",
                    )
                ],
            ),
            ("CPU", "percentunit", [Query(f"rate(process_cpu_seconds_total{{{_HERE}}}{rate})", "{{instance}}")]),
            (
                "Memory, and what was dropped",
                "bytes",
                [
                    Query(f"process_resident_memory_bytes{{{_HERE}}}", "memory {{instance}}"),
                    Query(
                        f"sum by (instance) (increase(authz_log_dropped_total{{{_HERE}}}{rate}))",
                        "log lines {{instance}}",
                    ),
                    Query(
                        f"sum by (metric) (increase(authz_metric_label_overflow_total{{{_HERE}}}{rate}))",
                        "labels {{metric}}",
                    ),
                ],
            ),
        ),
    }
    for row, panels in rows.items():
        board.with_row(dashboard.Row(row))
        for title, unit, queries in panels:
            board.with_panel(_series(title, queries, unit=unit).span(8).height(7))
    return _written(board)


def _board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    instances = dashboard.QueryVariable("instance").query('label_values(authz_build_info{job=~"$job"}, instance)')
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["authz"])
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_choice(dashboard.QueryVariable("job").query("label_values(authz_build_info, job)")))
        .with_variable(_choice(instances))
        .with_variable(
            _choice(dashboard.QueryVariable("route").query("label_values(authz_request_duration_seconds_count, route)"))
        )
        .with_variable(
            _choice(dashboard.QueryVariable("scope").query("label_values(authz_scope_latency_seconds_count, scope)"))
        )
        .annotation(_changes())
    )


def _choice(variable: dashboard.QueryVariable) -> dashboard.QueryVariable:
    return (
        variable.datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _changes() -> dashboard.AnnotationQuery:
    """Activations, rollbacks, revocations, changes of keys and configuration, on every panel."""
    expr = f'sum by (type, instance) (increase(authz_audit_events_total{{{_HERE},type=~"{_CHANGES}"}}[1m])) > 0'
    return (
        dashboard.AnnotationQuery()
        .name("Changes")
        .datasource(_SOURCE)
        .enable(True)
        .icon_color("blue")
        .target(dashboard.AnnotationTarget().limit(100).match_any(False).tags([]).type("tags"))
        .expr(expr)
    )


def _target(query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(_SOURCE)
    if query.exemplars:
        made = made.exemplar(True)
    return made.instant().format(PromQueryFormat.TABLE) if query.instant else made.range()


def _series(
    title: str, queries: Sequence[Query], *, unit: str = "short", thresholds: Sequence[tuple[float, str]] = ()
) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .datasource(_SOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
    )
    panel = panel.legend(
        VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    )
    if thresholds:
        panel = panel.thresholds(_steps(thresholds))
    for query in queries:
        panel = panel.with_target(_target(query))
    return panel


def _bars(title: str, queries: Sequence[Query]) -> timeseries.Panel:
    panel = _series(title, queries, unit="reqps").draw_style(GraphDrawStyle.BARS).fill_opacity(70)
    return panel.stacking(StackingConfig().mode(StackingMode.NORMAL))


def _budgets() -> stat.Panel:
    return (
        stat.Panel()
        .title("Error budget left")
        .description(
            "Of 30 days. Below 0 the promise is broken. Audit integrity has no budget: it has its own panel below."
        )
        .datasource(_SOURCE)
        .unit("percentunit")
        .decimals(1)
        .thresholds(_steps([(-1e9, "red"), (0, "orange"), (0.25, "green")]))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query("slo:period_error_budget_remaining:ratio", "{{sloth_slo}}")))
    )


def _scopes() -> heatmap.Panel:
    expr = f'sum by (scope) (increase(authz_scope_usage_total{{{_HERE},scope=~"$scope"}}[$__rate_interval]))'
    return (
        heatmap.Panel()
        .title("Scope usage heatmap")
        .description("Decisions in which a scope granted access, one row for each scope.")
        .datasource(_SOURCE)
        .calculate(False)
        .cell_gap(1)
        .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.AUTO))
        .with_target(_target(Query(expr, "{{scope}}")))
    )


def _ranking(title: str, expr: str) -> table.Panel:
    return table.Panel().title(title).datasource(_SOURCE).with_target(_target(Query(expr, instant=True)))


def _integrity() -> list[Panel]:
    answers = f'{{{_HERE},decision=~"allow|deny"}}'
    answered = f"sum(authz_decisions_total{answers}) + sum(authz_observed_decisions_total{answers})"
    recorded = f"sum(authz_audit_decisions_total{answers}) + sum(authz_audit_unrecorded_total{answers})"
    figures = (
        ("Failures of integrity", f"sum(authz_audit_integrity_failures_total{{{_HERE}}})"),
        ("Findings of damage", f"sum(authz_audit_damage{{{_HERE}}}) + sum(authz_audit_alarms{{{_HERE}}})"),
        ("Answers without a record", f"({answered}) - ({recorded})"),
    )
    panels: list[Panel] = [
        stat.Panel()
        .title(title)
        .datasource(_SOURCE)
        .thresholds(_steps([(-1e9, "green"), (1, "red")]))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query(expr)))
        .span(4)
        .height(7)
        for title, expr in figures
    ]
    waiting = f"max by (stream) (authz_audit_checkpoint_age_seconds{{{_HERE}}})"
    panels.append(_series("Time since the last signature", [Query(waiting, "{{stream}}")], unit="s").span(12).height(7))
    return panels


def _quantiles(title: str, metric: str, label: str) -> timeseries.Panel:
    chosen = f'{metric}_bucket{{{_HERE},{label}=~"${label}"}}'
    queries = [
        Query(
            f"histogram_quantile({q}, sum by ({label}, le) (rate({chosen}[$__rate_interval])))",
            f"P{float(q) * 100:.0f} {{{{{label}}}}}",
            exemplars=q == "0.99",
        )
        for q in _QUANTILES
    ]
    steps = [(0.0, "green"), (0.5, "orange"), (2.0, "red")]
    return _series(title, queries, unit="s", thresholds=steps)


def _steps(steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    made = [Threshold(value=None if n == 0 else value, color=color) for n, (value, color) in enumerate(steps)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def _written(board: dashboard.Dashboard) -> str:
    built = board.build()
    for number, panel in enumerate(built.panels or (), 1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"
