"""Service level objectives: what is promised, how it stands, and the rules that watch it. objectives.yaml has them.

A sidecar is looked at from outside, over HTTP or as a process of its own: this room knows nothing of how one is made.
"""

from authz.slos.alerts import Alert, alerts, read_alerts
from authz.slos.errors import NotEnoughData, ObjectivesError, SloSourceError, SloViolation
from authz.slos.judge import MIN_EVENTS, Judgement, Measured, Verdict, judge
from authz.slos.objectives import Objective, objectives, read_objectives
from authz.slos.report import as_dict, as_table
from authz.slos.rules import RUNBOOKS, alert_names, burn_alert, rules
from authz.slos.run import (
    assert_slos_in_ci,
    check_audit_integrity,
    judge_all,
    judge_text,
    judged,
    open_source,
    run_slo_tests,
)
from authz.slos.synthetic import REQUESTS, run, started
from authz.slos.traffic import ROLES, Driven, drive

__all__ = [
    "MIN_EVENTS",
    "REQUESTS",
    "ROLES",
    "RUNBOOKS",
    "Alert",
    "Driven",
    "Judgement",
    "Measured",
    "NotEnoughData",
    "Objective",
    "ObjectivesError",
    "SloSourceError",
    "SloViolation",
    "Verdict",
    "alert_names",
    "alerts",
    "as_dict",
    "as_table",
    "assert_slos_in_ci",
    "burn_alert",
    "check_audit_integrity",
    "drive",
    "judge",
    "judge_all",
    "judge_text",
    "judged",
    "objectives",
    "open_source",
    "read_alerts",
    "read_objectives",
    "rules",
    "run",
    "run_slo_tests",
    "started",
]
