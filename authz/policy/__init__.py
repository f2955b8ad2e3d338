"""The security team's tools: build a policy, see who may do what under it, compare two, explain decisions."""

from authz.policy.access import (
    Cell,
    Change,
    Compared,
    Difference,
    Matrix,
    Narrowed,
    TooManyConditionsError,
    as_csv,
    as_text,
    cells,
    difference_of,
    difference_page,
    matrix_of,
    matrix_page,
    read_approved,
    unapproved,
)
from authz.policy.build import BuildReport, build
from authz.policy.builtins import NATIVE
from authz.policy.errors import BuildError, Problem
from authz.policy.history import Replay, Replaying, reads_of, replay, routes_known
from authz.policy.opened import NotAPolicyError, Opened, bundle_of, opened, opened_bundle
from authz.policy.past import Explained, NotADecisionError, explain_event

__all__ = [
    "NATIVE",
    "BuildError",
    "BuildReport",
    "Cell",
    "Change",
    "Compared",
    "Difference",
    "Explained",
    "Matrix",
    "Narrowed",
    "NotADecisionError",
    "NotAPolicyError",
    "Opened",
    "Problem",
    "Replay",
    "Replaying",
    "TooManyConditionsError",
    "as_csv",
    "as_text",
    "build",
    "bundle_of",
    "cells",
    "difference_of",
    "difference_page",
    "explain_event",
    "matrix_of",
    "matrix_page",
    "opened",
    "opened_bundle",
    "read_approved",
    "reads_of",
    "replay",
    "routes_known",
    "unapproved",
]
