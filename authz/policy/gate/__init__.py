"""`authz policy test`: all that a directory of policy sources has to stand before it is merged."""

from authz.policy.gate.gate import Asked, gate
from authz.policy.gate.junit import as_junit
from authz.policy.gate.report import Coverage, GateReport, Part
from authz.policy.gate.watching import changed

__all__ = ["Asked", "Coverage", "GateReport", "Part", "as_junit", "changed", "gate"]
