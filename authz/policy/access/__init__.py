"""Who may do what under a policy, in which circumstances, and what a change to the policy changes of that."""

from authz.policy.access.approved import ApprovalsUnreadableError, read_approved, unapproved
from authz.policy.access.comparing import Compared, Matrix, difference_of, matrix_of
from authz.policy.access.difference import Change, Difference
from authz.policy.access.grid import TooManyConditionsError
from authz.policy.access.page import difference_page, matrix_page
from authz.policy.access.table import Holder, Questions, Request, Table
from authz.policy.access.texts import Cell, Narrowed, as_csv, as_text, cells
from authz.policy.access.words import in_words

__all__ = [
    "ApprovalsUnreadableError",
    "Cell",
    "Change",
    "Compared",
    "Difference",
    "Holder",
    "Matrix",
    "Narrowed",
    "Questions",
    "Request",
    "Table",
    "TooManyConditionsError",
    "as_csv",
    "as_text",
    "cells",
    "difference_of",
    "difference_page",
    "in_words",
    "matrix_of",
    "matrix_page",
    "read_approved",
    "unapproved",
]
