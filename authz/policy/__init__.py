"""The security team's tools. So far: build a policy into a bundle."""

from authz.policy.build import BuildReport, build
from authz.policy.builtins import NATIVE
from authz.policy.errors import BuildError, Problem

__all__ = ["NATIVE", "BuildError", "BuildReport", "Problem", "build"]
