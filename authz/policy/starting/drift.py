"""Where a document and a policy differ, in either direction."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from authz.policy.starting.document import Operation
from authz.policy.starting.requirement import Requirement


class Drift(Struct, frozen=True):
    """What differs. `unlisted`: routes of the policy that the document lacks; `closed`: undecided, and no route."""

    missing: tuple[Operation, ...]
    different: tuple[tuple[Operation, Requirement], ...]
    unlisted: tuple[str, ...]
    closed: tuple[Operation, ...]

    @property
    def found(self) -> bool:
        """Whether there is any: what is undecided and closed is none."""
        return bool(self.missing or self.different or self.unlisted)

    def lines(self) -> list[str]:
        """One line for each, for people to read."""
        return [
            *(f"not in the policy: {each} ({_words(each.requirement)})" for each in self.missing),
            *(f"differs: {op}: policy {_words(own)}, document {_words(op.requirement)}" for op, own in self.different),
            *(f"not in the document: {each}" for each in self.unlisted),
            *(f"undecided, stays closed: {each}" for each in self.closed),
        ]


def compare(operations: Sequence[Operation], routes: Mapping[str, Any]) -> Drift:
    """A document's operations against the policy's routes. Names of parameters do not matter."""
    held = dict(_held(routes))
    asked = {_shape(each.method, each.template): each for each in operations}
    return Drift(
        missing=tuple(each for shape, each in asked.items() if each.requirement is not None and shape not in held),
        different=tuple(
            (each, held[shape][1])
            for shape, each in asked.items()
            if each.requirement is not None and shape in held and held[shape][1] != each.requirement
        ),
        unlisted=tuple(name for shape, (name, _) in held.items() if shape not in asked),
        closed=tuple(each for shape, each in asked.items() if each.requirement is None and shape not in held),
    )


def _held(routes: Mapping[str, Any]) -> list[tuple[tuple[str, str], tuple[str, Requirement]]]:
    return [
        (
            _shape(method, template),
            (
                f"{method} {template}",
                Requirement(
                    all_of=tuple(sorted(entry.get("all_of", ()))),
                    any_of=tuple(sorted(entry.get("any_of", ()))),
                    public=entry.get("public") is True,
                ),
            ),
        )
        for template, entries in routes.items()
        for entry in entries
        for method in entry["methods"]
    ]


def _shape(method: str, template: str) -> tuple[str, str]:
    return method, "/".join("{}" if segment.startswith("{") else segment for segment in template.split("/"))


def _words(requirement: Requirement | None) -> str:
    if requirement is None:
        return "nothing"
    if requirement.public:
        return "public"
    if requirement.any_of:
        return f"any of {', '.join(requirement.any_of)}"
    return " and ".join(requirement.all_of)
