"""`tools/check_policies.py`: what `opa` itself would let pass is found."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

POLICY = """package p

allow if input.a

allow if input.b
"""


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The checks, pointed at a directory of the test's own."""
    spec = importlib.util.spec_from_file_location("check_policies", ROOT / "tools" / "check_policies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "POLICIES", tmp_path)
    (tmp_path / "p.rego").write_text(POLICY)
    return module


def test_format(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """What `opa fmt` would change is said; what is fine is not."""
    assert checks.check_format(str(opa_binary)) == []

    (tmp_path / "q.rego").write_text("package q\nx := 1\n")
    assert checks.check_format(str(opa_binary)) != []


def test_what_the_gate_refuses_is_said(checks: ModuleType, opa_binary: Path) -> None:
    """The whole report of `authz policy test`, as this is no policy that it takes."""
    said = checks.check_policy(str(opa_binary))
    assert "  check     FAILED   1 problem" in said
    assert "  p.rego:1: there is no rule data.authz.decision" in said


def test_no_example_is_forgotten(checks: ModuleType) -> None:
    """Every folder of the examples is tested."""
    folders = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name[0] != ".")
    assert folders == list(checks.EXAMPLES)
