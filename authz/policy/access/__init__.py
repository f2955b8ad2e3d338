"""Who may do what under a policy, in which circumstances, and what a change to the policy changes of that."""

from authz.policy.access.difference import Change, Difference, compare
from authz.policy.access.grid import Conditions, TooManyConditionsError, common_dimensions, conditions_of
from authz.policy.access.table import Holder, Questions, Request, Table, questions, tabulate
from authz.policy.access.words import in_words

__all__ = [
    "Change",
    "Conditions",
    "Difference",
    "Holder",
    "Questions",
    "Request",
    "Table",
    "TooManyConditionsError",
    "common_dimensions",
    "compare",
    "conditions_of",
    "in_words",
    "questions",
    "tabulate",
]
