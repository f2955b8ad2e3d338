"""The example policies are what a policy's owner may copy: formatted, tested to the last line, and built."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from authz import policy

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("certification", "gateway", "todo")


def opa(program: Path, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([program, *arguments], cwd=EXAMPLES / name, capture_output=True, text=True, check=False)


def test_no_example_is_forgotten() -> None:
    """Every folder of the examples is held to these tests."""
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] != ".") == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_formatted_and_strict(opa_binary: Path, name: str) -> None:
    """OPA's formatter would change nothing, and its strict compiler has nothing to say."""
    assert opa(opa_binary, name, "fmt", "--diff", "--fail", ".").stdout == ""
    assert opa(opa_binary, name, "check", "--strict", "--bundle", ".").stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_tested_to_the_last_line(opa_binary: Path, name: str) -> None:
    """Its own Rego tests pass, and reach every line of it."""
    tests = json.loads(opa(opa_binary, name, "test", "--format", "json", "--bundle", ".").stdout)
    coverage: Any = json.loads(opa(opa_binary, name, "test", "--coverage", "--format", "json", "--bundle", ".").stdout)

    assert tests
    assert [each["name"] for each in tests if each.get("fail") or each.get("error")] == []
    assert {path: file["coverage"] for path, file in coverage["files"].items() if "_test" not in path} == {
        "authz/authz.rego": 100
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_built(opa_binary: Path, tmp_path: Path, name: str) -> None:
    """`authz policy build` finds nothing wrong with it."""
    report = policy.build(EXAMPLES / name, tmp_path / "bundle.tar.gz", opa_binary)
    assert {"authz/decision", "authz/decisions", "authz/catalogue"} <= set(report.entrypoints)
