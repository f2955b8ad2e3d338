"""The golden matrix: one reviewed file with the verdict of every cell. Whoever is not named there may not."""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct

from authz.policy.access import Holder, Matrix, in_words
from authz.policy.errors import BuildError, Problem
from authz.policy.gate.cells import NOBODY, Cell

_ALWAYS: Final = "always"
_NEVER: Final = "never"
_HEADING: Final = """\
# What this policy does, cell by cell, as it was reviewed: whoever is not named under a request may not make it.
# `authz policy test` compares it with the policy's own answers as of `as_of`; `--update` writes it anew.
"""


class Golden(Struct, frozen=True, forbid_unknown_fields=True):
    """One file. `requests`: for each route and scope who may, and when (`always`, or the circumstances in words).

    `rego_tests` and `cases`: how many there are at least. `as_of`: the moment at which ends of roles are looked at.
    """

    as_of: str
    rego_tests: int
    cases: int
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    requests: dict[str, dict[str, str]]

    def asserted(self, cells: Iterable[Cell]) -> frozenset[Cell]:
        """Of these cells, those with a verdict in the file."""
        return frozenset(cell for cell in cells if self._asserts(cell))

    def _asserts(self, cell: Cell) -> bool:
        named = cell.role == NOBODY or cell.role in self.roles
        return named and f"{cell.method} {cell.host or ''}{cell.path}" in self.requests


def read_golden(file: Path, name: str) -> Golden:
    """The file's matrix. `name`: what it is called in problems. Raises BuildError."""
    try:
        found = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Golden)
        seconds(found.as_of)
    except (OSError, UnicodeDecodeError, ValueError, OverflowError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BuildError([Problem(name, 1, f"not a golden matrix: {str(error).splitlines()[0]}")]) from error
    return found


def golden_of(matrix: Matrix, as_of: str, rego_tests: int, cases: int) -> Golden:
    """What a policy does as of a moment."""
    holders = matrix.asked.holders
    return Golden(
        as_of=as_of,
        rego_tests=rego_tests,
        cases=cases,
        roles=tuple(each.name for each in holders if each.kind == "role"),
        scopes=tuple(each.name for each in holders if each.kind == "token"),
        requests={str(request): dict(_verdicts(matrix, request)) for request in matrix.asked.requests},
    )


def write_golden(golden: Golden, file: Path) -> None:
    """Write the file, a line for each cell that is allowed."""
    text = yaml.safe_dump(msgspec.to_builtins(golden), sort_keys=False, allow_unicode=True, width=1000)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_HEADING + text, encoding="utf-8")


def moment() -> str:
    """This second, as `as_of` has it."""
    return datetime.fromtimestamp(int(time.time()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(as_of: str) -> float:
    """`as_of` in seconds since the epoch. Raises ValueError."""
    found = datetime.fromisoformat(as_of)
    if found.tzinfo is None:
        raise ValueError("as_of: must be a time such as 2026-11-23T18:00:00Z")
    return found.timestamp()


def differences(golden: Golden, found: Golden, file: Path, name: str) -> list[Problem]:
    """Every cell in which a policy differs from the file, each at its line there."""
    lines = _lines(file)
    return [Problem(name, lines.get(request, 1), said) for request, said in _differing(golden, found)]


def _differing(golden: Golden, found: Golden) -> Iterator[tuple[str, str]]:
    if found.cases < golden.cases:
        yield "", f"{golden.cases} cases were recorded, and {found.cases} are there"
    for kind, old, new in (("role", golden.roles, found.roles), ("scope", golden.scopes, found.scopes)):
        yield from (("", f"the {kind} {each} is new") for each in new if each not in old)
        yield from (("", f"the {kind} {each} is gone") for each in old if each not in new)
    for request in dict.fromkeys((*golden.requests, *found.requests)):
        if request not in golden.requests:
            yield request, f"{request} is new: {_all(found.requests[request])}"
        elif request not in found.requests:
            yield request, f"{request} is gone"
        else:
            cells = _cells(golden.requests[request], found.requests[request])
            yield from ((request, f"{request}: {said}") for said in cells)


def _cells(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for holder in dict.fromkeys((*old, *new)):
        was, now = old.get(holder, _NEVER), new.get(holder, _NEVER)
        if was != now:
            yield f"{holder} may {now}, not {was}"


def _all(verdicts: Mapping[str, str]) -> str:
    return "; ".join(f"{holder} may {when}" for holder, when in verdicts.items()) or "nobody may"


def _verdicts(matrix: Matrix, request: Any) -> Iterator[tuple[str, str]]:
    for holder in matrix.asked.holders:
        chosen = matrix.table.cells[holder, request]
        if chosen:
            yield _called(holder), in_words(matrix.asked.grid(request), chosen) or _ALWAYS


def _called(holder: Holder) -> str:
    return f"{holder.kind} {holder.name}".strip()


def _lines(file: Path) -> dict[str, int]:
    root: Any = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    (requests,) = (value for key, value in root.value if key.value == "requests")
    return {key.value: key.start_mark.line + 1 for key, _ in requests.value}
