"""`authz policy test`: what gates a merge, and that each part of it can fail."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

from authz.bundle import Opa
from authz.core import Catalogue, CatalogueRoute, RouteTable
from authz.policy import (
    Asked,
    GateReport,
    PolicyFiles,
    Problem,
    as_junit,
    gate,
    init,
    new_role,
    new_route,
    new_scope,
)
from authz.policy.gate import Part
from authz.policy.gate.asked import overheard
from authz.policy.gate.cells import Cell, cells_of, touched_by
from authz.policy.gate.rego import coverage, run_tests
from authz.policy.program import Workbench
from tests.policy.conftest import ROOT, Write

RULES = """package authz

default decision := {"allow": false, "reason": "scope_missing", "scopes": ["book:read"]}

decision := {"allow": true, "reason": "scope_granted", "scopes": ["book:read"]} if {
	some role in input.subject.roles
	"book:read" in data.library.roles[role]
}

catalogue := {
	"scopes": ["book:read"],
	"roles": ["clerk", "reader"],
	"routes": [{"method": "GET", "path": "/books", "all_of": ["book:read"]}],
}
"""

TESTS = """package authz_test

import data.authz

_ask(role) := {
	"subject": {"type": "user", "id": "u1", "roles": [role]},
	"action": {"name": "GET"},
	"resource": {"type": "route", "id": "/books", "route": "/books", "params": {}},
}

test_a_reader_reads if authz.decision.allow with input as _ask("reader")

test_others_do_not[role] if {
	some role in ["guest", "nobody"]
	not authz.decision.allow with input as _ask(role)
}

# Another library: what it says of a clerk is nothing that this policy says.
test_elsewhere_a_clerk_reads if {
	authz.decision.allow with input as _ask("clerk") with data.library.roles as {"clerk": ["book:read"]}
}

test_the_catalogue if authz.catalogue.roles == ["clerk", "reader"]
"""

CASES = """cases:
  - name: nobody reads without a role
    input:
      subject: {type: user, id: u1, roles: []}
      action: {name: GET}
      resource: {type: route, id: /books}
    allow: false
    reason: scope_missing
"""

LIBRARY = {
    "authz/authz.rego": RULES,
    "authz/authz_test.rego": TESTS,
    "cases/books.yaml": CASES,
    "library/data.yaml": "roles: {reader: [book:read], clerk: []}\n",
    "schemas/input.json": json.dumps(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "subject": {"type": "object", "properties": {"roles": {"type": "array", "items": {"type": "string"}}}},
                "action": {},
                "resource": {},
            },
        }
    ),
}

Bench = Callable[..., Workbench]


@pytest.fixture
def library(write: Write) -> Path:
    """A policy with nothing wrong."""
    return write(LIBRARY)


@pytest.fixture
def bench(opa_binary: Path, tmp_path: Path) -> Bench:
    """A workbench with the library's files, some of them replaced."""

    def bench(**replaced: str) -> Workbench:
        made = Workbench(Opa(opa_binary, "pinned"), tmp_path)
        (made.sources / "library").mkdir()
        (made.sources / "library" / "data.yaml").write_text(LIBRARY["library/data.yaml"])
        for name, text in ({"authz": RULES, "authz_test": TESTS} | replaced).items():
            (made.sources / f"{name}.rego").write_text(text)
        return made

    return bench


def edit(file: Path, old: str, new: str) -> None:
    """Replace what is there exactly once."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def problems(report: GateReport) -> list[str]:
    return [f"{part.name} {problem}" for part in report.parts for problem in part.problems]


@pytest.mark.slow
def test_a_policy_with_nothing_wrong(library: Path, opa_binary: Path) -> None:
    """Every part is content; of the cells, those count that were asked of this very policy, and the rest is listed."""
    report = gate(library, Asked(opa=opa_binary))

    assert [(part.name, part.status, part.said) for part in report.parts] == [
        ("check", "ok", "strict, input as schemas/input.json has it, builtins of the Wasm guest only"),
        ("tests", "ok", "4 passed, 5 with the cases inside them"),
        ("coverage", "ok", "100 % of the lines of 1 file"),
        ("cases", "ok", "1 decided as they say (embedded)"),
        ("matrix", "ok", "tests and cases ask for 2 of 3 (66.6 %); no golden matrix"),
    ]
    assert report.ok
    assert report.matrix is not None
    assert list(map(str, report.matrix.untouched)) == ["GET /books (book:read): clerk"]


@pytest.mark.slow
def test_what_does_not_compile_is_tried_no_further(library: Path, opa_binary: Path) -> None:
    """The builtin fence, the schema and the strict compiler each name file and line; nothing else is claimed."""
    more = library / "authz" / "more.rego"
    said = []
    for text in ("import data.library", "a := sprintf(`%v`, [1])", "b := input.color"):
        more.write_text(f"package more\n\n{text}\n")
        said += problems(gate(library, Asked(opa=opa_binary)))
    more.rename(library / "authz" / "more_test.rego").write_text("package more_test\n\ntest_x if nowhere\n")
    report = gate(library, Asked(opa=opa_binary))

    assert [each.partition(" (")[0] for each in said if each.startswith("check")] == [
        "check authz/more.rego:3: import data.library unused",
        "check authz/more.rego:3: builtin sprintf is not compiled into the Wasm guest",
        "check authz/more.rego:3: undefined ref: input.color",
    ]
    assert problems(report) == ["check authz/more_test.rego:3: var nowhere is unsafe"]
    assert [part.status for part in report.parts] == ["failed", "not run", "not run", "ok", "ok"]
    assert not report.ok


@pytest.mark.slow
def test_a_golden_matrix_holds_every_cell(library: Path, opa_binary: Path) -> None:
    """Written for review, then compared cell by cell, with the counts of tests and cases: nothing is lost unseen."""
    written = gate(library, Asked(opa=opa_binary, update=True, matrix=100))
    golden = yaml.safe_load((library / "cases" / "golden.yaml").read_text())
    golden.pop("as_of")
    edit(library / "library" / "data.yaml", "clerk: []", "clerk: [book:read]")
    edit(library / "authz" / "authz.rego", '"roles": ["clerk", "reader"]', '"roles": ["clerk", "guest"]')
    edit(library / "authz" / "authz_test.rego", "test_the_catalogue if", "tset_the_catalogue if")
    edit(library / "cases" / "books.yaml", "allow: false", "allow: true")
    (library / "cases" / "more.yaml").write_text("# nothing yet\n")
    unreadable = gate(library, Asked(opa=opa_binary))
    (library / "cases" / "more.yaml").unlink()
    broken = gate(library, Asked(opa=opa_binary))

    wrong = "'nobody reads without a role': embedded: deny (scope_missing), not allow (scope_missing)"
    assert written.ok
    assert written.matrix is not None
    assert (written.matrix.percent, written.matrix.untouched) == (100, ())
    assert golden == {
        "rego_tests": 4,
        "cases": 1,
        "roles": ["clerk", "reader"],
        "scopes": ["book:read"],
        "requests": {"book:read": {"role reader": "always"}, "GET /books": {"role reader": "always"}},
    }
    assert problems(unreadable)[0].startswith("check cases/more.yaml:1: not a file of cases: ")
    assert problems(broken) == [
        "tests .:1: 3 tests ran, and 4 should",
        f"cases cases/books.yaml:2: {wrong}",
        "matrix cases/golden.yaml:1: the role guest is new",
        "matrix cases/golden.yaml:1: the role reader is gone",
        "matrix cases/golden.yaml:12: book:read: role reader may never, not always",
        "matrix cases/golden.yaml:12: book:read: role clerk may always, not never",
        "matrix cases/golden.yaml:14: GET /books: role reader may never, not always",
        "matrix cases/golden.yaml:14: GET /books: role clerk may always, not never",
    ]


@pytest.mark.slow
def test_an_opa_server_decides_the_cases_too(library: Path, opa_binary: Path) -> None:
    """`--engine opa` puts each case to both engines, and either may differ from it."""
    right = gate(library, Asked(opa=opa_binary, engine="opa"))
    edit(library / "cases" / "books.yaml", "allow: false", "allow: true")
    wrong = gate(library, Asked(opa=opa_binary, engine="opa"))

    assert [part.said for part in right.parts if part.name == "cases"] == ["1 decided as they say (embedded and opa)"]
    said = "deny (scope_missing), not allow (scope_missing)"
    assert problems(wrong) == [
        f"cases cases/books.yaml:2: 'nobody reads without a role': {engine}: {said}" for engine in ("embedded", "opa")
    ]


@pytest.mark.slow
def test_cases_are_neither_lost_nor_doubled(library: Path, opa_binary: Path) -> None:
    """A directory that was named and holds none, two of one name, and fewer than were recorded: all are failures."""
    assert gate(library, Asked(opa=opa_binary, update=True)).ok
    none = gate(library, Asked(opa=opa_binary, cases=(library / "schemas",)))
    twice = library / "cases" / "twice.yaml"
    twice.write_text(CASES + CASES.removeprefix("cases:\n"))
    doubled = gate(library, Asked(opa=opa_binary))
    twice.unlink()
    (library / "cases" / "books.yaml").unlink()
    lost = gate(library, Asked(opa=opa_binary))

    assert problems(none) == [f"cases {library}/schemas:1: no file of cases here (*.yaml)"]
    assert problems(doubled) == ["cases cases/twice.yaml:9: there are two cases called 'nobody reads without a role'"]
    assert problems(lost) == ["matrix cases/golden.yaml:1: 1 cases were recorded, and 0 are there"]


@pytest.mark.slow
def test_what_is_new_is_not_in_the_golden_matrix(library: Path, opa_binary: Path) -> None:
    """A route that nobody reviewed is a difference, although nothing was taken from anybody; no route at all is one."""
    route = '{"method": "GET", "path": "/books", "all_of": ["book:read"]}'
    assert gate(library, Asked(opa=opa_binary, update=True)).ok
    edit(library / "authz" / "authz.rego", route, f"{route}, {route.replace('GET', 'PUT')}")
    more = gate(library, Asked(opa=opa_binary, matrix=100))
    edit(library / "authz" / "authz.rego", f"{route}, {route.replace('GET', 'PUT')}", "")
    none = gate(library, Asked(opa=opa_binary))

    assert problems(more) == ["matrix cases/golden.yaml:1: PUT /books is new: role reader may always"]
    assert problems(none) == ["matrix cases/golden.yaml:14: GET /books is gone"]


@pytest.mark.slow
def test_a_golden_matrix_that_is_not_there(library: Path, opa_binary: Path) -> None:
    """Without one, less than `--matrix` percent is a failure; named and not there, or not to be read, it is one too.

    It is written anew where all else is ok, and only there: what fails must not become what was reviewed.
    """
    short = gate(library, Asked(opa=opa_binary, matrix=70))
    gone = gate(library, Asked(opa=opa_binary, golden=library / "gone.yaml"))
    (library / "cases" / "golden.yaml").write_text("as_of: yesterday\n")
    torn = gate(library, Asked(opa=opa_binary))

    edit(library / "authz" / "authz_test.rego", "test_the_catalogue if", "test_the_catalogue if not")
    refused = gate(library, Asked(opa=opa_binary, update=True))
    left = (library / "cases" / "golden.yaml").read_text()
    edit(library / "authz" / "authz_test.rego", "test_the_catalogue if not", "test_the_catalogue if")
    mended = gate(library, Asked(opa=opa_binary, update=True))

    assert [part.status for part in refused.parts] == ["ok", "failed", "not run", "ok", "not run"]
    assert left == "as_of: yesterday\n"
    assert mended.ok
    assert problems(short) == ["matrix .:1: 66.6 % of the matrix is asked for, and 70 % should be"]
    assert problems(gone) == ["matrix gone.yaml:1: there is no such file (--update writes it)"]
    assert problems(torn) == [
        "matrix cases/golden.yaml:1: not a golden matrix: Object missing required field `rego_tests`"
    ]


def test_failed_tests_are_named(bench: Bench) -> None:
    """By file and line, with the failed cases inside and what was printed; skipped tests and errors are failures."""
    text = TESTS.replace('"guest", "nobody"', '"guest", "reader"') + (
        "\ntodo_test_later if false\n\ntest_torn if {k: v | some v in [1, 2]; k := 1} == {}\n"
        '\ntest_seen if {\n\tprint("the roles are", data.library.roles)\n\tfalse\n}\n'
    )
    part, ran = run_tests(bench(authz_test=text), 1)

    assert (part.status, part.said, ran) == ("failed", "4 of 7 failed", 6)
    assert sorted(map(str, part.problems)) == [
        "authz_test.rego:13: authz_test.test_others_do_not failed: reader",
        "authz_test.rego:25: authz_test.todo_test_later is skipped: finish it, or take it out",
        "authz_test.rego:27: authz_test.test_torn: object keys must be unique",
        (
            "authz_test.rego:29: authz_test.test_seen failed "
            '(printed: the roles are {"clerk": [], "reader": ["book:read"]})'
        ),
    ]
    assert len(part.passed) == 3


def test_no_tests_are_a_failure(bench: Bench) -> None:
    """`opa test` takes none for a success."""
    part, ran = run_tests(bench(authz_test="package authz_test\n"), 1)
    assert (part.status, part.said, ran) == ("failed", "no tests ran, and 1 should", 0)


def test_fewer_tests_than_were_asked_for(bench: Bench) -> None:
    """A run that passes because tests are gone fails."""
    part, ran = run_tests(bench(), 5)
    assert (part.status, part.said, ran) == ("failed", "4 tests ran, and 5 should", 4)


def test_lines_that_no_test_reaches_are_named(bench: Bench) -> None:
    """File by file: what is covered elsewhere, and in tests, does not make up for it."""
    more = "package more\n\na if input.a\n\nb if {\n\tinput.b\n\tinput.c\n}\n"
    place = bench(more=more)
    part = coverage(place, ["authz.rego", "more.rego", "gone.rego"], 100)
    low = coverage(place, ["authz.rego"], 100)

    assert (part.status, [*map(str, part.problems)]) == (
        "failed",
        [
            "more.rego:3: no test reaches this line",
            "more.rego:5: no test reaches lines 5-7",
            "gone.rego:1: no test reaches this file",
        ],
    )
    assert low.status == "ok"


def test_a_threshold_may_be_lower(bench: Bench) -> None:
    """A file above it is fine."""
    half = "package more\n\na if input.a\n\nb if input.b\n"
    test = "package more_test\n\nimport data.more\n\ntest_a if more.a with input.a as true\n"
    place = bench(more=half, more_test=test)
    assert [coverage(place, ["more.rego"], percent).status for percent in (50, 51)] == ["ok", "failed"]


def test_a_policy_that_cannot_be_overheard(bench: Bench) -> None:
    """A decision put together from parts has no place for a second definition: that is said, and nothing is counted."""
    parts = 'package authz\n\ndecision["allow"] := true\n'
    heard = overheard(bench(authz=parts, authz_test="package authz_test\n\ntest_x if data.authz.decision.allow\n"), {})
    assert heard is None


def test_what_is_overheard(bench: Bench) -> None:
    """Each question to the policy itself; not what was asked under other data."""
    heard = overheard(bench(), {"library": {"roles": {"reader": ["book:read"], "clerk": []}}})
    assert heard is not None
    assert sorted(each["subject"]["roles"][0] for each in heard) == ["guest", "nobody", "reader"]


ROUTES = (
    CatalogueRoute("GET", "/a", all_of=("x", "y")),
    CatalogueRoute("GET", "/b/{id}", public=True),
    CatalogueRoute("PUT", "/a", host="a.example", any_of=("x",)),
)
CATALOGUE = Catalogue(scopes=("x", "y"), roles=("r", "s"), routes=ROUTES)


def question(method: str, path: str, host: str | None = None, **subject: Any) -> dict[str, Any]:
    """An input document whose route is still to be found."""
    resource = {"type": "route", "id": path, **({"host": host} if host else {})}
    return {"subject": subject, "action": {"name": method}, "resource": resource}


def test_the_cells_of_a_catalogue() -> None:
    """Each role, and none, by each scope that a route asks for; a public route is one cell for each."""
    assert cells_of(CATALOGUE) == {
        Cell(role, scope, method, path, host)
        for role in ("", "r", "s")
        for scope, method, path, host in (
            ("x", "GET", "/a", None),
            ("y", "GET", "/a", None),
            ("", "GET", "/b/{id}", None),
            ("x", "PUT", "/a", "a.example"),
        )
    }


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        (question("GET", "/a", roles=["r"]), {("r", "x", "/a"), ("r", "y", "/a")}),
        (question("HEAD", "/a", roles=["r"]), {("r", "x", "/a"), ("r", "y", "/a")}),
        (question("GET", "/b/7", roles=[]), {("", "", "/b/{id}")}),
        (question("GET", "/b/7"), {("", "", "/b/{id}")}),
        (question("PUT", "/a", "a.example", roles=["s"]), {("s", "x", "/a")}),
        (question("PUT", "/a", roles=["s"]), set()),
        (question("GET", "/a", roles=["r", "s"]), set()),
        (question("GET", "/a", roles=["r"], scopes=["x"]), set()),
        (
            question("GET", "/a", roles=["r"], scopes=["x"], properties={"scope_mode": "ignore"}),
            {("r", "x", "/a"), ("r", "y", "/a")},
        ),
        (question("GET", "/c", roles=["r"]), set()),
        (question("GET", "/a", roles="r"), set()),
        (question("GET", "/a", roles=[7]), set()),
        ({"subject": {"roles": ["r"]}, "action": "GET", "resource": "/a"}, set()),
        ({"action": {"name": "GET"}, "resource": {"type": "route", "id": "/a"}}, set()),
        ({}, set()),
    ],
)
def test_a_question_touches(asked: dict[str, Any], cells: set[tuple[str, str, str]]) -> None:
    """The cells of its only role on its route, unless a token narrows it; junk touches nothing."""
    touched = touched_by(asked, RouteTable(CATALOGUE.route_table()))
    assert {(cell.role, cell.scope, cell.path) for cell in touched} == cells


def test_junit_counts_what_passed_and_what_failed() -> None:
    """One suite for each part, with a case for each thing that passed, each problem, and each part that was not run."""
    report = GateReport(
        "mine",
        None,
        (
            Part(name="check", status="ok", said="strict"),
            Part(
                name="tests",
                status="failed",
                said="",
                passed=("a.test_b",),
                problems=(Problem("a.rego", 7, "<no>\x00"),),
            ),
            Part(name="cases", status="not run", said="something above failed"),
        ),
    )
    assert "&lt;no&gt;\N{REPLACEMENT CHARACTER}" in as_junit(report)
    suites = [(each.attrib, [case.attrib["name"] for case in each]) for each in Xml.fromstring(as_junit(report))]
    assert suites == [
        ({"name": "check", "tests": "1", "failures": "0", "skipped": "0"}, ["check"]),
        ({"name": "tests", "tests": "2", "failures": "1", "skipped": "0"}, ["a.test_b", "a.rego:7"]),
        ({"name": "cases", "tests": "1", "failures": "0", "skipped": "1"}, ["cases"]),
    ]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "authz", "policy", "test", *map(str, arguments)]


@pytest.mark.slow
def test_a_policy_that_was_just_begun(tmp_path: Path, opa_binary: Path) -> None:
    """What `policy init` and `new` write may be merged as it is, and it is said what nobody asks for yet."""
    init(tmp_path / "mine")
    files = PolicyFiles(tmp_path / "mine")
    new_scope(files, "book:read", "Reads books")
    new_role(files, "reader", ("book:read",), "Reads")
    new_route(files, "/books/{id}", ("GET",), ("book:read",))
    report = gate(tmp_path / "mine", Asked(opa=opa_binary))

    assert report.ok
    assert report.matrix is not None
    assert list(map(str, report.matrix.untouched)) == ["GET /books/{id} (book:read): admin, admin_readonly, reader"]


def _unasked(matrix: dict[str, Any]) -> int:
    """How many cells the list of what nobody asks for stands for."""
    return sum(len(each["roles"]) * max(1, len(each["scopes"])) for each in matrix["unasked"])


@pytest.mark.slow
def test_the_default_policy_is_covered_whole(opa_binary: Path) -> None:
    """Its golden matrix has all of its cells, and the command says so; what its own tests ask of it is heard."""
    asked = command(ROOT / "policies", "--opa", opa_binary, "--matrix", 100, "--json")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)

    assert (done.returncode, done.stderr, told["ok"]) == (0, "", True)
    assert (told["matrix"]["percent"], told["matrix"]["untouched"]) == (100.0, [])
    assert (told["matrix"]["cells"], told["matrix"]["asked"] + _unasked(told["matrix"])) == (364, 364)
    assert told["matrix"]["asked"] > 0


@pytest.mark.slow
def test_it_watches(library: Path, opa_binary: Path) -> None:
    """`--watch` tries again when a file changes, and Ctrl-C is its end, with exit code 0."""
    asked = command(library, "--opa", opa_binary, "--watch", "--junit", library.parent / "junit.xml")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert running.stdout is not None
    try:
        verdicts = [next(line for line in running.stdout if line.startswith(("ok", "not ok")))]
        edit(library / "library" / "data.yaml", "reader: [book:read]", "reader: []")
        verdicts.append(next(line for line in running.stdout if line.startswith(("ok", "not ok"))))
        assert running.stderr is not None
        assert "watching" in running.stderr.readline()
        assert "watching" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        code = running.wait(30)
    finally:
        running.kill()
        running.communicate()

    assert verdicts == ["ok\n", "not ok: tests, coverage\n"]
    assert code == 0
    assert (library.parent / "junit.xml").read_text().startswith("<?xml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--coverage", "101"], 2, "101.0 is not in the range"),
        (["--min-tests", "0"], 2, "0 is not in the range"),
        (["--watch", "--update"], 2, "--watch compares, --update writes"),
        (["--opa", "/does/not/exist"], 3, "could not find out: /does/not/exist is not an `opa`"),
    ],
)
def test_wrong_usage_and_no_opa(arguments: list[str], code: int, said: str, library: Path) -> None:
    """Exit 2 for what was put wrongly, 3 where there is nothing to find out with."""
    done = subprocess.run(command(library, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stderr
