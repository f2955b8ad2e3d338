"""Which shapes pass a condition: found out once for each of them, and remembered while the process lives.

Shapes are only ever added, so that an answer stays right; it is asked again only of those that are new.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from functools import reduce
from operator import and_
from threading import Lock
from typing import Final

import msgspec

from authz.audit.filters import Test
from authz.audit.index.row import OTHER, shape_fields
from authz.audit.index.schema import build_of

REMEMBERED: Final = 128
"""Conditions whose shapes are kept in memory."""


def shape_set(shapes: int) -> bytes:
    """A set of shapes, one bit for each, as it is kept of a chunk."""
    return shapes.to_bytes(-(-shapes.bit_length() // 8), "little")


_Key = tuple[int, str, tuple[str, ...]]


class PassingShapes:
    """For the searches of a process, in any thread, in any index: each has a number of its own."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def of(self, database: sqlite3.Connection, tests: Sequence[Test]) -> int:
        """The shapes of records that pass all of these tests, and of those that may: one bit for each."""
        build = build_of(database)
        return reduce(and_, (self._of_one(database, build, test) for test in tests)) | 1 << OTHER

    def _of_one(self, database: sqlite3.Connection, build: int, test: Test) -> int:
        key = (build, test.name, test.values)
        with self._lock:
            upto, passing = self._known.get(key, (0, 0))
        rows = database.execute("SELECT number, fields FROM shapes WHERE number > ?", (upto,)).fetchall()
        if rows:
            passing |= sum(1 << number for number, shape in rows if _may_pass(test, shape))
            upto = max(number for number, _ in rows)
        with self._lock:
            self._known[key] = upto, passing
            self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return passing


def _may_pass(test: Test, shape: bytes) -> bool:
    """What cannot be read passes: whoever put it there, its rows are refused when they are looked at."""
    try:
        return test.passes(shape_fields(shape))
    except (msgspec.MsgspecError, ValueError):
        return True
