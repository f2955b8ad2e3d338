"""Build the shipped bundle: `python tools/build_bundle.py` writes `bundles/default.tar.gz` and records its digest.

With `--check` nothing is written: exit 1 if either is not what `policies/` makes with the pinned `opa`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from authz.policy import BuildError, build

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
BUNDLE = ROOT / "bundles" / "default.tar.gz"
DIGEST = ROOT / "authz" / "bundle" / "digest.py"
DIGEST_TEXT = '''"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "{sha256}"
'''


def fresh(opa: Path) -> dict[Path, bytes]:
    """What the two files must hold, built with the given `opa`. Raises BuildError."""
    with tempfile.TemporaryDirectory() as scratch:
        report = build(POLICIES, Path(scratch, "default.tar.gz"), opa)
        archive = Path(scratch, "default.tar.gz").read_bytes()
    return {BUNDLE: archive, DIGEST: DIGEST_TEXT.format(sha256=report.sha256).encode()}


def stale(opa: Path) -> list[str]:
    """One line for each of the two files that does not hold what it must. Raises BuildError."""
    return [
        f"{path.relative_to(ROOT)} is not what policies/ makes: run `python tools/build_bundle.py`"
        for path, content in fresh(opa).items()
        if not path.is_file() or path.read_bytes() != content
    ]


def _pinned_opa() -> Path | None:
    """The pinned program; None when it cannot be had, which `provision.py` has then explained on stderr."""
    command = [sys.executable, str(ROOT / "tools" / "provision.py"), "opa"]
    provided = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return Path(provided.stdout.strip()) if provided.returncode == 0 else None


def _say(lines: list[str]) -> int:
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: build_bundle.py [--check]", file=sys.stderr)
        return 2
    opa = _pinned_opa()
    if opa is None:
        return 3
    try:
        if arguments:
            return _say(stale(opa))
        for path, content in fresh(opa).items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            print(f"wrote {path.relative_to(ROOT)}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
