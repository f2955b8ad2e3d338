"""The matrix of a policy: held to the reviewed one, and how much of it somebody asserts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz.core import Catalogue, RouteTable
from authz.policy.access import TooManyConditionsError, matrix_of
from authz.policy.case_files import FOLDER, GOLDEN, FiledCase
from authz.policy.errors import BuildError, Problem
from authz.policy.gate.asked import overheard
from authz.policy.gate.cells import Cell, cells_of, touched_by, untouched
from authz.policy.gate.golden import Golden, differences, golden_of, moment, read_golden, seconds, write_golden
from authz.policy.gate.report import Coverage, Part
from authz.policy.opened import Opened
from authz.policy.program import Workbench

_CLOSURE: Final = ("authz", "closure")
"""What the build adds to the data."""


class UndecidedError(Exception):
    """The policy has no answer to some questions, and a matrix of the rest would say that these are denied."""


class Tested(NamedTuple):
    """How many Rego tests ran, the workbench with them if they compile, and whether all was right so far."""

    ran: int
    bench: Workbench | None
    sound: bool


class Evidence(NamedTuple):
    """What else was tried: the Rego tests, and all cases, of which so many are the source's own."""

    tested: Tested
    own_cases: int
    cases: tuple[FiledCase, ...]


class Wanted(NamedTuple):
    """The golden file if it was named, whether to write it, and how many percent of the matrix have to be asserted."""

    golden: Path | None
    update: bool
    percent: float


def golden_beside(src: Path, named: Path | None) -> tuple[Golden | None, Part | None]:
    """The golden matrix that was named, or is in the source's cases; the failed part where it cannot be read."""
    file = named or src / FOLDER / GOLDEN
    if not file.exists():
        return None, None
    try:
        return read_golden(file, _name(src, file)), None
    except BuildError as error:
        fix = "restore it from version control, or write it anew with --update"
        return None, Part(name="matrix", status="failed", said="cannot be read", problems=error.problems, fix=fix)


async def hold_to_matrix(
    src: Path, one: Opened, evidence: Evidence, wanted: Wanted, golden: Golden | None
) -> tuple[Part, Coverage]:
    """Compare a policy with its golden matrix, or write that; without one, tell what nobody asks for."""
    catalogue = one.policy.catalogue
    heard = _overheard(one, evidence.tested.bench)
    asked = _asked(catalogue, one.policy.routes, [*(each.case.input for each in evidence.cases), *(heard or ())])
    if golden is None and not wanted.update:
        coverage = _coverage(catalogue, asked, frozenset())
        if wanted.golden is not None:
            problem = Problem(_name(src, wanted.golden), 1, "there is no such file (--update writes it)")
            return _failed("no golden matrix", problem), coverage
        return _by_asking(coverage, wanted.percent, deaf=heard is None and evidence.tested.bench is not None), coverage
    file = wanted.golden or src / FOLDER / GOLDEN
    try:
        golden, problems = await _held(one, evidence, golden, file, _name(src, file))
    except (TooManyConditionsError, UndecidedError) as error:
        failed = _failed(f"cannot be told: {error}", Problem(".", 1, str(error)))
        return failed, _coverage(catalogue, asked, frozenset())
    coverage = _coverage(catalogue, asked, golden.asserted(cells_of(catalogue)))
    return _compared(coverage, problems, _name(src, file)), coverage


async def _held(
    one: Opened, evidence: Evidence, golden: Golden | None, file: Path, name: str
) -> tuple[Golden, list[Problem]]:
    """The golden matrix and what differs from it; written if there is none. Raises as `_found`."""
    if golden is not None:
        return golden, differences(golden, await _found(one, golden.as_of, evidence), file, name)
    made = await _found(one, moment(), evidence)
    write_golden(made, file)
    return made, []


def _compared(coverage: Coverage, problems: list[Problem], name: str) -> Part:
    counted = f"{coverage.covered} of {coverage.cells} cells ({coverage.percent:g} %), as in {name}"
    if problems:
        said = f"{len(problems)} difference{'' if len(problems) == 1 else 's'} from the golden matrix"
        fix = "undo the change; or, where it is meant, run with --update and have the file's diff reviewed"
        return Part(name="matrix", status="failed", said=said, problems=tuple(problems), fix=fix)
    return Part(name="matrix", status="ok", said=f"{counted}; {_asking(coverage)}")


def _by_asking(coverage: Coverage, percent: float, *, deaf: bool) -> Part:
    unheard = ", what Rego tests ask could not be overheard" if deaf else ""
    said = f"{_asking(coverage)}{unheard}; no golden matrix"
    if not coverage.cells:
        return Part(name="matrix", status="ok", said="no routes, so there is nothing to cover")
    if coverage.percent < percent:
        short = Problem(".", 1, f"{coverage.percent:g} % of the matrix is asked for, and {percent:g} % should be")
        fix = "add cases for what is listed below, or a golden matrix (--update) for all of it"
        return Part(name="matrix", status="failed", said=said, problems=(short,), fix=fix)
    return Part(name="matrix", status="ok", said=said)


def _asking(coverage: Coverage) -> str:
    return f"tests and cases ask for {coverage.asked} of {coverage.cells} ({coverage.asked_percent:g} %)"


def _asked(catalogue: Catalogue, routes: RouteTable, questions: list[Mapping[str, Any]]) -> frozenset[Cell]:
    touched: frozenset[Cell] = frozenset().union(*(touched_by(each, routes) for each in questions))
    return touched & cells_of(catalogue)


def _coverage(catalogue: Catalogue, asked: frozenset[Cell], golden: frozenset[Cell]) -> Coverage:
    covered = asked | golden
    return Coverage(
        cells=len(cells_of(catalogue)),
        asked=len(asked),
        covered=len(covered),
        untouched=untouched(catalogue, covered),
        unasked=untouched(catalogue, asked),
    )


def _failed(said: str, problem: Problem) -> Part:
    return Part(name="matrix", status="failed", said=said, problems=(problem,))


def _overheard(one: Opened, bench: Workbench | None) -> list[dict[str, Any]] | None:
    if bench is None:
        return None
    data = json.loads(one.data)
    data.get(_CLOSURE[0], {}).pop(_CLOSURE[1], None)
    return overheard(bench, data)


async def _found(one: Opened, as_of: str, evidence: Evidence) -> Golden:
    """What the policy does as of a moment. Raises UndecidedError, TooManyConditionsError."""
    matrix = await matrix_of(one, now=seconds(as_of))
    if matrix.table.undecided:
        raise UndecidedError(f"{matrix.table.undecided} questions could not be answered by the policy")
    return golden_of(matrix, as_of, evidence.tested.ran, evidence.own_cases)


def _name(src: Path, file: Path) -> str:
    return file.relative_to(src).as_posix() if file.is_relative_to(src) else str(file)
