"""The cases of a policy: YAML files in `cases/` beside its sources, put into the bundle as one document."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

from authz.bundle import BundleError
from authz.examination import Case, read_cases
from authz.policy.errors import BuildError, Problem

FOLDER: Final = "cases"
GOLDEN: Final = "golden.yaml"
"""The one file in the folder that holds no cases, but the whole matrix (see `gate`)."""


class FiledCase(Struct, frozen=True):
    """A case and where it stands: the file as it was named, and the line."""

    file: str
    line: int
    case: Case


def case_document(root: Path) -> bytes | None:
    """All cases under `root/cases`, in the order of the files; None where there are none.

    Raises BuildError: not YAML, or no cases.
    """
    cases: list[Any] = []
    for file in case_files(root / FOLDER):
        _, document = _read(file, file.relative_to(root).as_posix())
        cases += document["cases"]
    if not cases:
        return None
    return json.dumps({"cases": cases}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def case_files(folder: Path) -> list[Path]:
    """The files of a folder that hold cases, by name."""
    return sorted(file for file in folder.glob("*.yaml") if file.name != GOLDEN)


def filed_cases(files: Iterable[Path], root: Path | None = None) -> list[FiledCase]:
    """Every case in these files, with its place; files under `root` are named relative to it.

    Raises BuildError: not YAML, no cases, or two of one name in a file.
    """
    return [each for file in files for each in _filed(file, _named(file, root))]


def _filed(file: Path, name: str) -> list[FiledCase]:
    text, document = _read(file, name)
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    (places,) = (value for key, value in root.value if key.value == "cases")
    cases = read_cases(json.dumps(document).encode())
    filed = [FiledCase(name, n.start_mark.line + 1, case) for n, case in zip(places.value, cases, strict=True)]
    seen: set[str] = set()
    for each in filed:
        if each.case.name in seen:
            raise BuildError([Problem(name, each.line, f"there are two cases called {each.case.name!r}")])
        seen.add(each.case.name)
    return filed


def _named(file: Path, root: Path | None) -> str:
    return file.relative_to(root).as_posix() if root is not None and file.is_relative_to(root) else str(file)


def _read(file: Path, name: str) -> tuple[str, dict[str, Any]]:
    """The text of a file of cases, and what it says."""
    try:
        text = file.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        read_cases(json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BuildError([Problem(name, line, f"not YAML: {error.problem}")]) from error
    except (BundleError, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise BuildError([Problem(name, 1, f"not a file of cases: {error}")]) from error
    return text, document
