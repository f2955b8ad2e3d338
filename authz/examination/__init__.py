"""What is asked of a bundle before it may be put in force. Light to import: it has a process of its own (`child`)."""

from authz.examination.cases import Case, otherwise, read_cases
from authz.examination.errors import CasesError, ProbeError
from authz.examination.examination import Examined, examine, examine_and_compile
from authz.examination.placing import placed, placed_anew
from authz.examination.trust import DEFAULT, Trust, TrustedKey, trust_in
from authz.examination.verdict import Verdict

__all__ = [
    "DEFAULT",
    "Case",
    "CasesError",
    "Examined",
    "ProbeError",
    "Trust",
    "TrustedKey",
    "Verdict",
    "examine",
    "examine_and_compile",
    "otherwise",
    "placed",
    "placed_anew",
    "read_cases",
    "trust_in",
]
