"""What a bundle owns inside an OPA server: the top-level names of its packages and data, and nothing else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from authz.policy.errors import BuildError, Problem

_PACKAGE = re.compile(rb"^package\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
_OPAS_OWN = "system"


def roots(sources: Mapping[str, bytes], data: Mapping[str, Any]) -> list[str]:
    """The `roots` of the manifest, sorted.

    A bundle that owns everything (`""`) erases whatever else the server was given, such as the rules of its own API.
    Raises BuildError when the policy reaches into `system`, where those rules are.
    """
    found = {name for _, name, _ in _packages(sources)} | set(data)
    problems = [
        Problem(file, line, "package system is the OPA server's own: it says who may use its API (name it otherwise)")
        for file, name, line in _packages(sources)
        if name == _OPAS_OWN
    ]
    if _OPAS_OWN in data and not problems:
        problems = [Problem("system", 1, "data under system is the OPA server's own (name it otherwise)")]
    if problems:
        raise BuildError(problems)
    return sorted(found)


def _packages(sources: Mapping[str, bytes]) -> Iterator[tuple[str, str, int]]:
    """File, first name and line of every package."""
    for file, source in sources.items():
        for match in _PACKAGE.finditer(source) if file.endswith(".rego") else ():
            yield file, match.group(1).decode(), source.count(b"\n", 0, match.start()) + 1
