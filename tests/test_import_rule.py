"""Imports only point down, a room is entered by its face only, and the core is pure (docs/architecture.md)."""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "authz"
IMPURE = {"asyncio", "aiohttp", "os", "pathlib", "time", "logging", "structlog", "socket", "threading", "io", "random"}
CORE_MAY_USE = {"msgspec", *sys.stdlib_module_names} - IMPURE
TLOG_MAY_USE = {"cryptography", *sys.stdlib_module_names} - IMPURE


def module_of(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in sorted(HOUSE.rglob("*.py"))}
ROOMS = {name.split(".")[1] for name, file in MODULES.items() if file.name == "__init__.py" and name != "authz"}
"""The packages directly under `authz`; its other modules are rooms of one file."""


@cache
def face(room: str) -> frozenset[str]:
    """What a room's `__init__` offers in its `__all__`."""
    for node in ast.parse((HOUSE / room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def imports(module: str, source: str) -> Iterator[tuple[str, str | None]]:
    """Every import of a source, wherever it stands: (module, name from it or None), relative ones made absolute."""
    package = module if module in MODULES and MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


def broken_in(module: str, source: str) -> list[str]:
    """Where a source goes around the face of another room."""
    own = module.split(".")[1] if "." in module else ""
    broken = []
    for base, name in imports(module, source):
        house, _, inside = base.partition(".")
        room, _, deeper = inside.partition(".")
        if house != "authz" or room not in ROOMS or room == own:
            continue
        if deeper:
            broken.append(f"{module} imports {base}")
        elif name is None or name not in face(room):
            broken.append(f"{module} imports {name or 'all'} from {base}, which is not in its __all__")
    entered = {name for base, name in imports(module, source) if base == "authz" and name in ROOMS and name != own}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in entered:
            room = node.value.id
            if node.attr not in face(room):
                broken.append(f"{module} uses {room}.{node.attr}, which is not in its __all__")
    return broken


def impure_in(module: str, source: str) -> list[str]:
    """What a module of a pure room imports beyond itself, the core, and what that room may use."""
    room = module.split(".")[1]
    may_use = TLOG_MAY_USE if room == "tlog" else CORE_MAY_USE
    return [
        f"{module} imports {base}"
        for base, _ in imports(module, source)
        if base.split(".")[:2] not in (["authz", "core"], ["authz", room]) and base.split(".")[0] not in may_use
    ]


@pytest.mark.parametrize("module", MODULES)
def test_a_room_is_entered_by_its_face(module: str) -> None:
    """A module uses of another room only what that room's package offers, never its insides."""
    assert broken_in(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("authz.core")])
def test_the_core_is_pure(module: str) -> None:
    """The core imports msgspec and the standard library, but nothing that waits, reads files or clocks, or logs."""
    assert impure_in(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("authz.tlog")])
def test_the_formats_of_the_tree_are_pure(module: str) -> None:
    """The formats import the core, cryptography and the pure part of the standard library."""
    assert impure_in(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_room_has_a_face(room: str) -> None:
    """Each package says in `__all__` what it offers."""
    assert face(room)


VIOLATIONS = {
    "from authz.core.model import Decision": ["authz.http.x imports authz.core.model"],
    "import authz.core.model": ["authz.http.x imports authz.core.model"],
    "from authz.core import model": ["authz.http.x imports model from authz.core, which is not in its __all__"],
    "from authz.core import *": ["authz.http.x imports * from authz.core, which is not in its __all__"],
    "import authz.core": ["authz.http.x imports all from authz.core, which is not in its __all__"],
    "from ..core.model import Decision": ["authz.http.x imports authz.core.model"],
    "from ..core import model": ["authz.http.x imports model from authz.core, which is not in its __all__"],
    "def late():\n    from authz.audit.writer import LedgerWriter": ["authz.http.x imports authz.audit.writer"],
    "if TYPE_CHECKING:\n    from authz.audit.writer import LedgerWriter": ["authz.http.x imports authz.audit.writer"],
    "from authz import audit\naudit.writer.LedgerWriter": [
        "authz.http.x uses audit.writer, which is not in its __all__"
    ],
}

ALLOWED = [
    "from authz.core import Decision",
    "from authz import audit\naudit.LedgerWriter",
    "from authz.config import Settings",
    "from authz import __version__",
    "from authz.http.answers import refused",
    "from .answers import refused",
    "from . import answers",
    "import aiohttp.web",
]


@pytest.mark.parametrize(("source", "found"), VIOLATIONS.items())
def test_a_violation_is_found(source: str, found: list[str]) -> None:
    """The rule sees each way around a face: by name, by module, late, for types only, relative, or by attribute."""
    assert broken_in("authz.http.x", source) == found


@pytest.mark.parametrize("source", ALLOWED)
def test_what_is_allowed_is_allowed(source: str) -> None:
    """The rule lets a room use the faces of others, rooms of one file, and its own insides."""
    assert broken_in("authz.http.x", source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", ["authz.core.x imports time"]),
        ("import os.path", ["authz.core.x imports os.path"]),
        ("from pathlib import Path", ["authz.core.x imports pathlib"]),
        ("def late():\n    import logging", ["authz.core.x imports logging"]),
        ("from authz.config import Settings", ["authz.core.x imports authz.config"]),
        ("import aiohttp", ["authz.core.x imports aiohttp"]),
        ("import yaml", ["authz.core.x imports yaml"]),
        ("import re\nimport msgspec\nfrom authz.core.model import Decision\nfrom .model import Decision", []),
    ],
)
def test_impurity_is_found(source: str, found: list[str]) -> None:
    """The rule sees what does not belong in the core, wherever the import stands."""
    assert impure_in("authz.core.x", source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from time import time", ["authz.tlog.x imports time"]),
        ("import msgspec", ["authz.tlog.x imports msgspec"]),
        ("from authz.audit import verify", ["authz.tlog.x imports authz.audit"]),
        ("from hashlib import sha256\nfrom authz.core import AuthzError\nfrom authz.tlog.note import Note", []),
    ],
)
def test_impure_formats_are_found(source: str, found: list[str]) -> None:
    """The rule sees what does not belong among the formats."""
    assert impure_in("authz.tlog.x", source) == found


def test_imports_only_point_down() -> None:
    """import-linter's contracts hold: no room imports a higher one or one beside it."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 3 kept, 0 broken." in done.stdout


def test_every_room_has_its_floor() -> None:
    """Each room is named in the layers, so that none escapes the rule."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    named = config["importlinter:contract:layers"]["layers"].replace("|", " ").split()
    rooms = {".".join(name.split(".")[:2]) for name in MODULES} - {"authz", "authz.__main__"}
    assert sorted(name.strip("()") for name in named) == sorted(rooms)
