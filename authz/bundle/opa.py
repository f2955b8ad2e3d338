"""Find the `opa` program: building policies needs it, deciding by the embedded engine does not."""

import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from authz.bundle import pins
from authz.bundle.errors import OpaMissingError

_HOW = f"install OPA {pins.OPA}, or in a checkout run `python tools/provision.py opa`"


class Opa(Struct, frozen=True):
    """An `opa` program that may be used, and its version."""

    path: Path
    version: str


def find_opa(named: Path | None = None) -> Opa:
    """The program at `named`, else the one on PATH, else the one that a checkout keeps in `.tools/bin`.

    Raises OpaMissingError: none is there, or only older ones than the oldest safe version.
    """
    candidates = [named.absolute()] if named else [*_on_path(), Path(__file__).parents[2] / ".tools" / "bin" / "opa"]
    found = [(path, version) for path in candidates if (version := _version(path)) is not None]
    usable = [Opa(path, version) for path, version in found if _numbers(version) >= _numbers(pins.OPA_MINIMUM)]
    if usable:
        # Of several, the pinned version: it builds the same bytes as everyone else's.
        return next((opa for opa in usable if opa.version == pins.OPA), usable[0])
    if found:
        path, version = found[0]
        raise OpaMissingError(f"{path} is OPA {version}; {pins.OPA_MINIMUM} or newer is needed: {_HOW}")
    raise OpaMissingError(f"{named} is not an `opa`: {_HOW}" if named else f"there is no `opa` on PATH: {_HOW}")


def _on_path() -> list[Path]:
    found = shutil.which("opa")
    return [Path(found)] if found else []


def _version(program: Path) -> str | None:
    try:
        said = subprocess.run([program, "version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Version: (\d+\.\d+\.\d+)", said.stdout)
    return found.group(1) if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
