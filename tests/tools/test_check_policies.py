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


def write_tests(directory: Path, *bodies: str) -> None:
    """Write a test file with these tests."""
    tests = [f"test_{index} if {body}\n" for index, body in enumerate(bodies)]
    (directory / "p_test.rego").write_text("package p_test\n\nimport data.p\n\n" + "\n".join(tests))


A = '{\n\tp.allow with input as {"a": true}\n}'
B = '{\n\tp.allow with input as {"b": true}\n}'


def test_tests_that_reach_everything_are_fine(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """Full coverage and no failure: nothing to say."""
    write_tests(tmp_path, A, B)

    assert checks.check_tests(str(opa_binary)) == []


def test_no_tests_are_a_failure(checks: ModuleType, opa_binary: Path) -> None:
    """`opa test` takes none for a success."""
    assert checks.check_tests(str(opa_binary)) == ["there are no tests"]


def test_a_failed_test_is_named(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """By package and name."""
    write_tests(tmp_path, A, "false", B)

    assert checks.check_tests(str(opa_binary)) == ["data.p_test.test_1 failed"]


def test_a_line_that_no_test_reaches_is_named(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """Covered test files do not make up for it."""
    write_tests(tmp_path, A)

    assert checks.check_tests(str(opa_binary)) == ["p.rego: 50 % covered; no test reaches lines [5]"]


def test_a_file_that_no_test_reaches_is_named(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """A policy without tests of its own does not hide behind the others."""
    write_tests(tmp_path, A, B)
    (tmp_path / "q.rego").write_text("package q\n\nx := 1 if input.x\n")

    assert checks.check_tests(str(opa_binary)) == ["q.rego: 0 % covered; no test reaches lines [3]"]


def test_format_and_strictness(checks: ModuleType, tmp_path: Path, opa_binary: Path) -> None:
    """What `opa fmt` would change and what the strict compiler refuses are said; what is fine is not."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "input.json").write_text('{"type": "object", "properties": {"a": {}, "b": {}}}')

    assert (checks.check_format(str(opa_binary)), checks.check_compile(str(opa_binary))) == ([], [])

    (tmp_path / "q.rego").write_text("package q\nimport data.p\nx := input.c\n")
    assert checks.check_format(str(opa_binary)) != []
    assert any("import data.p unused" in line for line in checks.check_compile(str(opa_binary)))
