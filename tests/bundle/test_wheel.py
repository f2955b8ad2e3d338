"""The installed package carries its bundle."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from authz import bundle
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
PARTS = ["authz", "bundles", "policies", "pyproject.toml", "README.md", "LICENSE"]


@pytest.mark.slow
def test_a_wheel_carries_the_shipped_bundle(tmp_path: Path) -> None:
    """A wheel built from a checkout holds the bundle as a file of the package, and reads it there."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, checkout / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, checkout / part)
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, checkout],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        missing(f"what builds a wheel ({built.stderr.strip().splitlines()[-1]})")
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)

    read = subprocess.run(
        [sys.executable, "-c", "from authz import bundle; print(bundle.__file__, bundle.read_shipped().revision)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert read.stdout.split() == [str(installed / "authz/bundle/__init__.py"), bundle.read_shipped().revision]
    parts = installed / "authz" / "audit" / "evidence"
    assert {path.name for path in parts.iterdir()} >= {"README.txt", "verify.py"}, "evidence packages need both"
    sources = [path.relative_to(ROOT) for path in (ROOT / "policies").rglob("*") if path.is_file()]
    unlike = [name for name in sources if (installed / "authz" / name).read_bytes() != (ROOT / name).read_bytes()]
    assert not unlike, "`authz policy init` lays these out"
