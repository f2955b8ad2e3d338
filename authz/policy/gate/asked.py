"""What the Rego tests of a policy ask it: overheard, as `opa test` does not say.

A second definition of `data.authz.decision` is laid beside the policy's own. It is never true; before that it prints
the input it was asked with, and whether the data is still the policy's own: a test that puts other roles in their
place asks another policy.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from authz.policy.errors import BuildError
from authz.policy.gate.rego import printed_by
from authz.policy.program import Workbench

_MARK: Final = "authz-was-asked"
_PLACE: Final = "authz_was_asked"
_PACKAGE: Final = re.compile(rb"^package\s+([\w.]+)", re.MULTILINE)

_Path = tuple[str, ...]


def overheard(bench: Workbench, data: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The input of every decision that the tests in a workbench ask for; `data`: the policy's data document.

    The workbench is of no use for anything else afterwards. None where a policy cannot be overheard: its decision is
    not one rule with one value.
    """
    (bench.sources / _PLACE).mkdir()
    (bench.sources / _PLACE / "data.json").write_text(json.dumps(data), encoding="utf-8")
    (bench.sources / _PLACE / "asked.rego").write_text(_rule(_packages(bench.sources), data), encoding="utf-8")
    try:
        tests, _ = bench.test()
    except BuildError:
        return None
    return [question for test in tests for question in _questions(printed_by(test))]


def _packages(sources: Path) -> set[_Path]:
    texts = [file.read_bytes() for file in sources.rglob("*.rego")]
    return {tuple(name.decode().split(".")) for text in texts for name in _PACKAGE.findall(text)}


def _rule(packages: set[_Path], data: Mapping[str, Any]) -> str:
    same = "".join(
        f"\tdata{_reference(path)} == data.{_PLACE}{_reference(path)}\n" for path in _documents(data, (), packages)
    )
    return (
        f"package authz\n\n{_PLACE}_itself if {{\n\ttrue\n{same}}}\n\n"
        f'decision := {{}} if {{\n\tprint("{_MARK}", {_PLACE}_itself, json.marshal(input))\n\tfalse\n}}\n'
    )


def _documents(data: Mapping[str, Any], at: _Path, packages: set[_Path]) -> Iterator[_Path]:
    """The paths of the data that no package has a rule below: only these can be looked at from within a rule."""
    for key, value in data.items():
        path = (*at, key)
        if not any(package[: len(path)] == path for package in packages):
            yield path
        elif isinstance(value, dict):
            yield from _documents(value, path, packages)


def _reference(path: _Path) -> str:
    return "".join(f"[{json.dumps(key)}]" for key in path)


def _questions(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        mark, _, rest = line.partition(" ")
        itself, _, asked = rest.partition(" ")
        if mark == _MARK and itself == "true" and asked.startswith("{"):
            yield json.loads(asked)
