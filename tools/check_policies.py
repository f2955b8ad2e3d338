"""Check the default policy: `python tools/check_policies.py` prints one line for each check, exit 1 if one fails.

Formatting, lint, what `authz policy test` gates a merge with (of the default policy with all of its matrix, and of the
examples), and that the shipped bundle is what the sources make. Needs the pinned `opa` and `regal` (see provision.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from authz.policy import Asked, gate

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
CASES = ROOT / "tests" / "cases"
EXAMPLES = ("certification", "gateway", "todo")


def check_format(opa: str) -> list[str]:
    """What `opa fmt` would change."""
    return _complaints(opa, "fmt", "--diff", "--fail", ".")


def check_lint(regal: str) -> list[str]:
    """What Regal finds."""
    return _complaints(regal, "lint", "--format", "compact", ".")


def check_policy(opa: str) -> list[str]:
    """What `authz policy test` says of the default policy, every cell of its matrix covered."""
    return _gate(POLICIES, Asked(opa=Path(opa), cases=(CASES,), matrix=100, golden=POLICIES / "cases" / "golden.yaml"))


def check_examples(opa: str) -> list[str]:
    """What it says of the examples."""
    return [line for name in EXAMPLES for line in _gate(ROOT / "examples" / name, Asked(opa=Path(opa)))]


def check_bundle() -> list[str]:
    """Whether the committed bundle is the one that the sources make; its build also tries the contract."""
    return _complaints(sys.executable, str(ROOT / "tools" / "build_bundle.py"), "--check")


def _gate(source: Path, asked: Asked) -> list[str]:
    report = gate(source, asked)
    return [] if report.ok else str(report).splitlines()


def _complaints(*command: str) -> list[str]:
    done = _run(*command)
    return _said(done) if done.returncode != 0 else []


def _said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=POLICIES, capture_output=True, text=True, check=False)


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
        "lint": lambda: check_lint(regal),
        "test": lambda: check_policy(opa),
        "test of the examples": lambda: check_examples(opa),
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
