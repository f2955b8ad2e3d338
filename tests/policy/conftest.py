"""Policies to build: a directory of files written by a test, and the shipped one."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from authz import policy

ROOT = Path(__file__).parents[2]

SMALLEST = """package authz

default decision := {"allow": false, "reason": "scope_missing", "scopes": []}

catalogue := {"scopes": [], "roles": []}
"""

Write = Callable[[Mapping[str, str]], Path]
Problems = Callable[[Mapping[str, str]], list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a new directory and give it."""

    def write(files: Mapping[str, str]) -> Path:
        root = tmp_path / "policy"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return root

    return write


@pytest.fixture
def problems(write: Write, tmp_path: Path, opa_binary: Path) -> Problems:
    """Build files that cannot be built, and give what is wrong, line by line."""

    def problems(files: Mapping[str, str]) -> list[str]:
        out = tmp_path / "out" / "bundle.tar.gz"
        with pytest.raises(policy.BuildError) as refused:
            policy.build(write(files), out, opa_binary)
        assert not out.exists()
        return str(refused.value).splitlines()

    return problems
