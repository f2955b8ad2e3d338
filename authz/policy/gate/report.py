"""What the gate found: one part after the other, and what failed in each."""

from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from authz.policy.errors import Problem
from authz.policy.gate.cells import Untouched

Status = Literal["ok", "failed", "not run"]

_SHOWN: Final = 20
_GAPS_SHOWN: Final = 10


class Part(Struct, frozen=True, kw_only=True):
    """One part of the gate. `passed`: what it tried one by one and found right, by name, for reports that list it."""

    name: str
    status: Status
    said: str
    problems: tuple[Problem, ...] = ()
    fix: str = ""
    passed: tuple[str, ...] = ()


class Coverage(Struct, frozen=True):
    """Of the cells role x scope x route: how many there are, how many tests and cases ask for, and how many these or
    a golden matrix cover; by route, what neither covers and what no test or case asks for."""

    cells: int
    asked: int
    covered: int
    untouched: tuple[Untouched, ...] = ()
    unasked: tuple[Untouched, ...] = ()

    @property
    def percent(self) -> float:
        """How many of the cells are covered, of 100; rounded down, so that 100 is all of them."""
        return _percent(self.covered, self.cells)

    @property
    def asked_percent(self) -> float:
        """How many of them tests and cases ask for."""
        return _percent(self.asked, self.cells)


class GateReport(Struct, frozen=True):
    """Whether a policy may be merged. `matrix` is None where there was no policy to ask."""

    source: str
    revision: str | None
    parts: tuple[Part, ...]
    matrix: Coverage | None = None

    @property
    def ok(self) -> bool:
        """Whether every part was run and is content."""
        return all(part.status == "ok" for part in self.parts)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def document(self) -> dict[str, Any]:
        """All of it, for programs."""
        matrix = self.matrix
        told = None if matrix is None else {"percent": matrix.percent, "asked_percent": matrix.asked_percent}
        return {
            "ok": self.ok,
            "source": self.source,
            "revision": self.revision,
            "parts": [{name: getattr(part, name) for name in part.__struct_fields__} for part in self.parts],
            "matrix": None if matrix is None else {**_fields(matrix), **(told or {})},
        }

    def _lines(self) -> Iterator[str]:
        yield f"{self.source}" + (f", revision {self.revision}" if self.revision else "")
        width = max(len(part.name) for part in self.parts)
        for part in self.parts:
            yield f"  {part.name:<{width}}  {_WORDS[part.status]:<7}  {part.said}"
        for part in self.parts:
            if part.problems:
                yield ""
                yield from _explained(part)
        yield from self._gap()
        yield ""
        yield "ok" if self.ok else "not ok: " + ", ".join(p.name for p in self.parts if p.status != "ok")

    def _gap(self) -> Iterator[str]:
        gaps = self.matrix.untouched if self.matrix is not None else ()
        if not gaps:
            return
        yield ""
        yield "No test or case asks for these (a golden matrix, `--update`, asserts all of them):"
        yield from (f"  {each}" for each in gaps[:_GAPS_SHOWN])
        if len(gaps) > _GAPS_SHOWN:
            yield f"  and {len(gaps) - _GAPS_SHOWN} routes more (all of them: --json)"


_WORDS: Final = {"ok": "ok", "failed": "FAILED", "not run": "not run"}


def _explained(part: Part) -> Iterator[str]:
    yield f"{part.name}:"
    yield from (f"  {problem}" for problem in part.problems[:_SHOWN])
    if len(part.problems) > _SHOWN:
        yield f"  and {len(part.problems) - _SHOWN} more (all of them: --json)"
    if part.fix:
        yield f"  To fix it: {part.fix}"


def _percent(some: int, every: int) -> float:
    return 100.0 if not every else int(1000 * some / every) / 10


def _fields(coverage: Coverage) -> dict[str, Any]:
    return {name: getattr(coverage, name) for name in coverage.__struct_fields__}
