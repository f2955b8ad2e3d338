"""All that a directory of policy sources has to stand before it is merged."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from authz.bundle import Bundle, Opa, find_opa, read
from authz.policy.build import build
from authz.policy.case_files import FOLDER, case_files, filed_cases
from authz.policy.errors import BuildError, Problem
from authz.policy.gate.deciding import Engines, decide_cases
from authz.policy.gate.golden import Golden
from authz.policy.gate.matrix import Evidence, Tested, Wanted, golden_beside, hold_to_matrix
from authz.policy.gate.rego import coverage, run_tests
from authz.policy.gate.report import Coverage, GateReport, Part
from authz.policy.opened import opened_bundle
from authz.policy.program import Workbench
from authz.policy.sources import INPUT_SCHEMA, read_sources, read_tests, write_sources

_PARTS: Final = ("check", "tests", "coverage", "cases", "matrix")


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked of a policy; `coverage` and `matrix` in percent.

    `min_tests`, `golden`: None for what is recorded beside the source. `cases`: directories besides the source's own.
    `update`: write the golden matrix anew instead of comparing it.
    """

    coverage: float = 100.0
    min_tests: int | None = None
    cases: tuple[Path, ...] = ()
    engine: Engines = "embedded"
    matrix: float = 0.0
    golden: Path | None = None
    update: bool = False
    opa: Path | None = None


class _Run(NamedTuple):
    src: Path
    asked: Asked
    opa: Opa
    room: Path


class _Compiled(NamedTuple):
    """The part, the bundle if it can be built, and a workbench with the tests in it if they compile."""

    part: Part
    bundle: Bundle | None = None
    bench: Workbench | None = None


def gate(src: Path, asked: Asked) -> GateReport:
    """Test the policy in `src`, part by part; a part that something failed before is said to be not run.

    Takes seconds, and is not for an event loop. Raises OpaMissingError.
    """
    opa = find_opa(asked.opa)
    with tempfile.TemporaryDirectory(prefix="authz-policy-") as room:
        return _run(_Run(src, asked, opa, Path(room)))


def _run(run: _Run) -> GateReport:
    # 1. It and its tests compile strictly; it stays within the fence and keeps the contract.
    compiled = _compile(run)
    parts = [compiled.part]
    golden, unreadable = (None, None) if run.asked.update else golden_beside(run.src, run.asked.golden)
    # 2. Its tests pass, none was lost, and they reach every line.
    ran = 0
    if compiled.bench is not None:
        tests, ran = run_tests(compiled.bench, _at_least(run.asked, golden))
        parts.append(tests)
        if tests.status == "ok":
            parts.append(coverage(compiled.bench, _rego(run.src), run.asked.coverage))
    # 3. It decides as its cases say, and every cell of its matrix is as it was reviewed.
    matrix = None
    if compiled.bundle is not None:
        sound = [part.name for part in parts if part.status == "ok"] == ["check", "tests", "coverage"]
        decided, matrix = _decide(run, compiled.bundle, Tested(ran, compiled.bench, sound), golden)
        parts += decided
    if unreadable is not None:
        parts = [*(part for part in parts if part.name != "matrix"), unreadable]
    revision = compiled.bundle.revision if compiled.bundle is not None else None
    return GateReport(str(run.src), revision, _all_of(parts), matrix)


def _compile(run: _Run) -> _Compiled:
    problems: dict[Problem, None] = {}
    bundle, bench = None, None
    archive = run.room / "bundle.tar.gz"
    try:
        build(run.src, archive, run.opa.path)
        bundle = read(archive)
    except BuildError as error:
        problems |= dict.fromkeys(error.problems)
    try:
        bench = _bench(run)
    except BuildError as error:
        problems |= dict.fromkeys(error.problems)
    if problems or bundle is None:
        said = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        return _Compiled(Part(name="check", status="failed", said=said, problems=tuple(problems)), bundle, bench)
    schema = f", input as {INPUT_SCHEMA} has it" if (run.src / INPUT_SCHEMA).is_file() else ", no schema of the input"
    said = f"strict{schema}, builtins of the Wasm guest only"
    return _Compiled(Part(name="check", status="ok", said=said), bundle, bench)


def _bench(run: _Run) -> Workbench:
    """A workbench with the tests, once they compile. Raises BuildError."""
    (run.room / "bench").mkdir()
    bench = Workbench(run.opa, run.room / "bench")
    write_sources({**read_sources(run.src), **read_tests(run.src)}, bench.sources)
    schema = run.src / INPUT_SCHEMA
    bench.check_tests(schema.read_bytes() if schema.is_file() else None)
    return bench


def _rego(src: Path) -> list[str]:
    return [name for name in read_sources(src) if name.endswith(".rego")]


def _at_least(asked: Asked, golden: Golden | None) -> int:
    if asked.min_tests is not None:
        return asked.min_tests
    return golden.rego_tests if golden is not None and golden.rego_tests else 1


def _decide(run: _Run, bundle: Bundle, tested: Tested, golden: Golden | None) -> tuple[list[Part], Coverage | None]:
    try:
        own = filed_cases(case_files(run.src / FOLDER), run.src)
        cases = own + filed_cases(file for folder in run.asked.cases for file in _files(folder))
    except BuildError as error:
        return [Part(name="cases", status="failed", said="cannot be read", problems=error.problems)], None
    return asyncio.run(_decided(run, bundle, Evidence(tested, len(own), tuple(cases)), golden))


async def _decided(
    run: _Run, bundle: Bundle, evidence: Evidence, golden: Golden | None
) -> tuple[list[Part], Coverage | None]:
    one = opened_bundle(str(run.src), bundle)
    try:
        server = (run.opa, bundle, run.room / "server") if run.asked.engine == "opa" else None
        decided = await decide_cases(one.policy, evidence.cases, server)
        if run.asked.update and not (evidence.tested.sound and decided.status == "ok"):
            unwritten = "the golden matrix is written once all else is ok"
            return [decided, Part(name="matrix", status="not run", said=unwritten)], None
        wanted = Wanted(run.asked.golden, run.asked.update, run.asked.matrix)
        compared, matrix = await hold_to_matrix(run.src, one, evidence, wanted, golden)
    finally:
        one.policy.close()
    return [decided, compared], matrix


def _files(folder: Path) -> list[Path]:
    """The files of a directory that was named: none is a mistake, not a success."""
    files = case_files(folder)
    if not files:
        raise BuildError([Problem(str(folder), 1, "no file of cases here (*.yaml)")])
    return files


def _all_of(parts: list[Part]) -> tuple[Part, ...]:
    """Every part in its order; what is not there was not run."""
    found = {part.name: part for part in parts}
    unrun = "something above failed"
    return tuple(found.get(name) or Part(name=name, status="not run", said=unrun) for name in _PARTS)
