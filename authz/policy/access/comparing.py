"""Policies that were opened, tabulated over the same questions."""

import time

from msgspec import Struct

from authz.policy.access.difference import Difference, compare
from authz.policy.access.grid import Conditions, common_dimensions, conditions_of
from authz.policy.access.table import Questions, Table, questions, tabulate
from authz.policy.opened import Opened


class Matrix(Struct, frozen=True):
    """Who may do what under one policy."""

    asked: Questions
    table: Table


class Compared(Struct, frozen=True):
    """Two policies over the same questions, and what differs."""

    asked: Questions
    old: Table
    new: Table
    difference: Difference


async def matrix_of(one: Opened, *, now: float | None = None) -> Matrix:
    """The table of one policy as of `now`, seconds since the epoch; this moment if not stated.

    Raises TooManyConditionsError.
    """
    asked = _questions((one,), now)
    return Matrix(asked, await tabulate(one.policy, asked))


async def difference_of(old: Opened, new: Opened, *, now: float | None = None) -> Compared:
    """Both tables as of `now`, and who gains and who loses what. Raises TooManyConditionsError."""
    asked = _questions((old, new), now)
    before, after = await tabulate(old.policy, asked), await tabulate(new.policy, asked)
    return Compared(asked, before, after, await compare(asked, (old.policy, before), (new.policy, after)))


def _questions(policies: tuple[Opened, ...], now: float | None) -> Questions:
    conditions = Conditions()
    for each in policies:
        conditions |= conditions_of(each.data)
    moment = int(time.time() if now is None else now)
    return questions([each.policy.catalogue for each in policies], common_dimensions(conditions, moment))
