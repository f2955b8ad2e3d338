"""Decision cases: a question as a policy gets it, and the whole answer that is right. YAML, one file for each subject.

`cases.schema.json` beside them says the same for editors: `python -m tests.cases.reading` writes it.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta, Struct

from authz.core import PolicyDecision

CASES = Path(__file__).parent
SCHEMA = CASES / "cases.schema.json"

_Name = Annotated[str, Meta(min_length=1, description="A sentence that says what holds; unique in all files.")]
_Input = Annotated[
    dict[str, Any], Meta(description="The `input` document (policies/schemas/input.json), route included.")
]
_Scopes = Annotated[tuple[str, ...], Meta(description="What the request needs; on an allow, what granted it.")]
_Grants = Annotated[dict[str, tuple[str, ...]], Meta(description="On an allow: scope -> roles, or `token`.")]


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One case. What is left out of the answer is empty there."""

    name: _Name
    input: _Input
    allow: bool
    reason: Annotated[str, Meta(description="A reason of docs/reasons.md, or one that the policy declares.")]
    scopes: _Scopes = ()
    missing: Annotated[tuple[str, ...], Meta(description="The part of it that is not held.")] = ()
    granted_by: _Grants = {}

    @property
    def decision(self) -> PolicyDecision:
        """The answer, but for rate limits and headers, which are no part of who may do what."""
        return PolicyDecision(
            allow=self.allow,
            reason=self.reason,
            scopes=self.scopes,
            missing=self.missing,
            granted_by=self.granted_by,
        )


class Cases(Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    cases: Annotated[tuple[Case, ...], Meta(min_length=1)]


def read_cases(directory: Path = CASES) -> dict[str, Case]:
    """Every case in the YAML files of a directory, by `file: name`."""
    found: dict[str, Case] = {}
    for file in sorted(directory.glob("*.yaml")):
        read = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Cases)
        for case in read.cases:
            name = f"{file.stem}: {case.name}"
            if name in found:
                raise ValueError(f"{file.name}: there are two cases {case.name!r}")
            found[name] = case
    return found


def schema() -> str:
    """The JSON schema of a file."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Cases)}
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=2).decode() + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
