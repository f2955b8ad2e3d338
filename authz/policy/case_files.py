"""The cases of a policy: YAML files in `cases/` beside its sources, put into the bundle as one document."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from authz.bundle import BundleError
from authz.examination import read_cases
from authz.policy.errors import BuildError, Problem

FOLDER: Final = "cases"


def case_document(root: Path) -> bytes | None:
    """All cases under `root/cases`, in the order of the files; None where there are none.

    Raises BuildError: not YAML, or no cases.
    """
    cases: list[Any] = []
    for file in sorted((root / FOLDER).glob("*.yaml")):
        name = file.relative_to(root).as_posix()
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            text = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
            read_cases(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BuildError([Problem(name, line, f"not YAML: {error.problem}")]) from error
        except (BundleError, OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise BuildError([Problem(name, 1, f"not a file of cases: {error}")]) from error
        cases += document["cases"]
    if not cases:
        return None
    return json.dumps({"cases": cases}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
