"""The sources of a policy: which files of a directory count, and the revision they make."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from authz.policy.errors import BuildError, Problem

DATA_NAMES = ("data.yaml", "data.json")
"""The only data files that OPA's bundle loader reads."""

INPUT_SCHEMA = "schemas/input.json"
"""Optional JSON schema of the input document, which the Rego is checked against. Not part of the policy."""

_BESIDE = ("schemas/", "cases/")
"""Folders whose files are about the policy and no part of it."""

_TEST = "_test.rego"

_DATA_SUFFIXES = {".yaml", ".yml", ".json"}


def read_sources(root: Path) -> dict[str, bytes]:
    """The Rego and data files under `root` by their name relative to it, in order; no tests, schemas, cases.

    Raises BuildError: nothing there, a file that cannot be read, or a data file that OPA would silently pass over.
    """
    sources: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path in _visible_files(root):
        name = path.relative_to(root).as_posix()
        if _is_source(path):
            try:
                sources[name] = path.read_bytes()
            except OSError as error:
                problems.append(Problem(name, 1, f"cannot be read: {error.strerror}"))
        elif path.suffix in _DATA_SUFFIXES and not name.startswith(_BESIDE):
            problems.append(Problem(name, 1, "OPA does not load this data file (name it data.yaml)"))
    if not any(name.endswith(".rego") for name in sources):
        problems.append(Problem(".", 1, "no Rego file here (give the directory that holds the policy)"))
    if problems:
        raise BuildError(problems)
    return sources


def read_tests(root: Path) -> dict[str, bytes]:
    """The Rego tests under `root` by their name relative to it, in order. Raises BuildError: one cannot be read."""
    files = {path.relative_to(root).as_posix(): path for path in _visible_files(root) if path.name.endswith(_TEST)}
    try:
        return {name: path.read_bytes() for name, path in files.items()}
    except OSError as error:
        raise BuildError([Problem(str(error.filename), 1, f"cannot be read: {error.strerror}")]) from error


def revision_of(sources: Mapping[str, bytes]) -> str:
    """The revision: the first 16 hex digits of a SHA-256 over the sources in the order of their names.

    For each file: its name in UTF-8, a zero byte, its length in decimal, a zero byte, its content.
    """
    digest = hashlib.sha256()
    for name, content in sorted(sources.items()):
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    return digest.hexdigest()[:16]


def write_sources(sources: Mapping[str, bytes], into: Path) -> None:
    """Lay the sources out under a directory."""
    for name, content in sources.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _visible_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and not hidden:
            yield path


def _is_source(path: Path) -> bool:
    if path.suffix == ".rego":
        return not path.name.endswith(_TEST)
    return path.name in DATA_NAMES
