"""The example policies are what a policy's owner may copy: formatted and built; tools/check_policies.py tests them."""

import subprocess
from pathlib import Path

import pytest

from authz import policy

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("certification", "gateway", "todo")


def test_no_example_is_forgotten() -> None:
    """Every folder of the examples is held to these tests."""
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] != ".") == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_formatted(opa_binary: Path, name: str) -> None:
    """OPA's formatter would change nothing."""
    done = subprocess.run(
        [opa_binary, "fmt", "--diff", "--fail", "."], cwd=EXAMPLES / name, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_built(opa_binary: Path, tmp_path: Path, name: str) -> None:
    """`authz policy build` finds nothing wrong with it."""
    report = policy.build(EXAMPLES / name, tmp_path / "bundle.tar.gz", opa_binary)
    assert {"authz/decision", "authz/decisions", "authz/catalogue"} <= set(report.entrypoints)
