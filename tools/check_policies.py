"""Check the default policy: `python tools/check_policies.py` prints one line for each check, exit 1 if one fails.

Formatting, strict compilation against the input schema, lint, tests with full coverage of every file that is not a
test, and that the shipped bundle is what the sources make. Needs the pinned `opa` and `regal` (see provision.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
TEST_TIMEOUT = "120s"


def check_format(opa: str) -> list[str]:
    """What `opa fmt` would change."""
    return _complaints(opa, "fmt", "--diff", "--fail", ".")


def check_compile(opa: str) -> list[str]:
    """What the strict compiler says, of the tests too, with the input held to its schema."""
    return _complaints(opa, "check", "--strict", "--schema", "schemas/input.json", "--bundle", ".")


def check_lint(regal: str) -> list[str]:
    """What Regal finds."""
    return _complaints(regal, "lint", "--format", "compact", ".")


def check_tests(opa: str) -> list[str]:
    """Failed tests, no tests at all (which `opa test` takes for a success), and lines that no test reaches."""
    tests = _run(opa, "test", "--format", "json", "--timeout", TEST_TIMEOUT, "--bundle", ".")
    results = _document(tests)
    if not isinstance(results, list):
        return _said(tests)
    failed = [f"{test['package']}.{test['name']} failed" for test in results if test.get("fail") or test.get("error")]
    if failed or tests.returncode != 0:
        return failed or _said(tests)
    if not results:
        return ["there are no tests"]
    covered = _run(opa, "test", "--coverage", "--format", "json", "--timeout", TEST_TIMEOUT, "--bundle", ".")
    report = _document(covered)
    return list(_uncovered(report["files"])) if isinstance(report, dict) else _said(covered)


def check_bundle() -> list[str]:
    """Whether the committed bundle is the one that the sources make; its build also tries the contract."""
    return _complaints(sys.executable, str(ROOT / "tools" / "build_bundle.py"), "--check")


def _uncovered(files: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Per file: the total would let well-covered tests hide an uncovered policy."""
    for name in sorted(path.relative_to(POLICIES).as_posix() for path in POLICIES.rglob("*.rego")):
        if name.endswith("_test.rego"):
            continue
        report = files.get(name)
        if report is None:
            yield f"{name}: no test reaches it"
        elif report.get("coverage") != 100:
            rows = sorted({part["start"]["row"] for part in report["not_covered"]})
            yield f"{name}: {report.get('coverage', 0)} % covered; no test reaches lines {rows}"


def _complaints(*command: str) -> list[str]:
    done = _run(*command)
    return _said(done) if done.returncode != 0 else []


def _said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=POLICIES, capture_output=True, text=True, check=False)


def _document(done: subprocess.CompletedProcess[str]) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def _provided(tool: str) -> str:
    """The pinned tool's path; ends the program, saying how to get it, when it cannot be had."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "provision.py"), tool], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout.strip()


def main() -> int:
    opa, regal = _provided("opa"), _provided("regal")
    checks: dict[str, Callable[[], list[str]]] = {
        "format": lambda: check_format(opa),
        "compile": lambda: check_compile(opa),
        "lint": lambda: check_lint(regal),
        "tests and coverage": lambda: check_tests(opa),
        "bundle": check_bundle,
    }
    failed = 0
    for name, check in checks.items():
        complaints = check()
        failed += bool(complaints)
        print(f"policies: {name}: {'FAILED' if complaints else 'ok'}", *complaints, sep="\n  ", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
