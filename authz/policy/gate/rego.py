"""The Rego tests of a policy, and the lines that they reach."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz.policy.errors import BuildError, Problem
from authz.policy.gate.report import Part
from authz.policy.program import Workbench

_SHOWN: Final = 500
_NONE: Final = "write a test beside each package: rules called test_... in a file that ends in _test.rego"


def run_tests(bench: Workbench, at_least: int) -> tuple[Part, int]:
    """Run them; how many ran. `opa test` takes none for a success, this does not."""
    try:
        tests, content = bench.test()
    except BuildError as error:
        return Part(name="tests", status="failed", said="cannot be run", problems=error.problems), 0
    problems = [found for test in tests for found in _failed(test)]
    ran = [test for test in tests if not test.get("skip")]
    passed = tuple(_name(test) for test in ran if not (test.get("fail") or test.get("error")))
    if problems or not content:
        problems = problems or [Problem(".", 1, "opa test is not content, and does not say with what")]
        failed = len({(each.path, each.line) for each in problems})
        said = f"{failed} of {len(tests)} failed"
        return Part(name="tests", status="failed", said=said, problems=tuple(problems), passed=passed), len(ran)
    if len(ran) < at_least:
        said = f"{len(ran) or 'no'} test{'' if len(ran) == 1 else 's'} ran, and {at_least} should"
        fix = (
            _NONE if not ran else "a test was lost, or is not called test_... (--min-tests, or --update if it is meant)"
        )
        return Part(name="tests", status="failed", said=said, fix=fix, problems=(Problem(".", 1, said),)), len(ran)
    each_of_many = sum(len(test.get("sub_results", ())) or 1 for test in tests)
    said = f"{len(ran)} passed" + (f", {each_of_many} with the cases inside them" if each_of_many > len(ran) else "")
    return Part(name="tests", status="ok", said=said, passed=passed), len(ran)


def coverage(bench: Workbench, names: list[str], threshold: float) -> Part:
    """How much of each file, tests left out, the tests reach: the total would let one file hide another."""
    try:
        report, _ = bench.test("--coverage")
    except BuildError as error:
        return Part(name="coverage", status="failed", said="cannot be told", problems=error.problems)
    files: Mapping[str, Any] = report["files"]
    problems = [found for name in names for found in _unreached(name, files.get(name), threshold)]
    covered = [files.get(name, {}).get("covered_lines", 0) for name in names]
    every = sum(covered) + sum(files.get(name, {}).get("not_covered_lines", 0) for name in names)
    total = 100.0 if not every else int(1000 * sum(covered) / every) / 10
    low = len({each.path for each in problems})
    said = f"{total:g} % of the lines of {len(names)} file{'' if len(names) == 1 else 's'}"
    if problems:
        said += f"; {low} below {threshold:g} %"
        fix = "write a test that comes by there, or take the lines out"
        return Part(name="coverage", status="failed", said=said, problems=tuple(problems), fix=fix)
    return Part(name="coverage", status="ok", said=said)


def _failed(test: Mapping[str, Any]) -> Iterator[Problem]:
    place, name = test["location"], _name(test)
    if test.get("skip"):
        yield Problem(place["file"], place["row"], f"{name} is skipped: finish it, or take it out")
    elif test.get("error"):
        yield Problem(place["file"], place["row"], f"{name}: {test['error'].get('message', 'an error')}")
    elif test.get("fail"):
        inside = ", ".join(_inside(test.get("sub_results", {})))
        printed = "; ".join(printed_by(test))
        said = (f"{name} failed", f": {inside}" if inside else "", f" (printed: {printed[:_SHOWN]})" if printed else "")
        yield Problem(place["file"], place["row"], "".join(said))


def printed_by(test: Mapping[str, Any]) -> list[str]:
    """The lines that a test printed (`print`, Rego's own way to look inside)."""
    return base64.b64decode(test.get("output", "")).decode(errors="replace").splitlines()


def _name(test: Mapping[str, Any]) -> str:
    return f"{test['package'].removeprefix('data.')}.{test['name']}"


def _inside(results: Mapping[str, Any]) -> Iterator[str]:
    """The cases inside a test that failed, by name."""
    for name, result in results.items():
        deeper = list(_inside(result.get("sub_results", {})))
        if deeper:
            yield from (f"{name}/{each}" for each in deeper)
        elif result.get("fail"):
            yield name


def _unreached(name: str, report: Mapping[str, Any] | None, threshold: float) -> Iterator[Problem]:
    if report is None:
        yield Problem(name, 1, "no test reaches this file")
        return
    rows = sorted({part["start"]["row"] for part in report.get("not_covered", ())})
    if not rows or report.get("coverage", 0) >= threshold:
        return
    for first, last in _runs(rows):
        yield Problem(
            name, first, "no test reaches this line" if first == last else f"no test reaches lines {first}-{last}"
        )


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    first = last = rows[0]
    for row in rows[1:]:
        if row != last + 1:
            yield first, last
            first = row
        last = row
    yield first, last
