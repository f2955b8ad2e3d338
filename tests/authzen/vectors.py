"""The published AuthZEN vectors: where they are, and how their expectations are held to answers."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT

VECTORS = ROOT.parent / "shared" / "vectors" / "authzen"

_FIXED = {
    # Contradicts the replacing of whole entities in section 7.1.1; the certification text (c-3-2-7) is followed:
    # a resource without a type is no resource, whatever the default has.
    "authzen-pdp-evaluations-batch-with-default-value-merging": {
        "evaluations": [{"decision": False}, {"decision": False}]
    },
}


def load(name: str) -> Any:
    """One file of the vectors. They are not part of the project: where they are not there, what needs them skips."""
    path = VECTORS / name
    if not path.is_file():
        pytest.skip(f"the AuthZEN vectors are not at {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def modules() -> list[Any]:
    """The conformance modules, if they are there; to be parametrized with."""
    path = VECTORS / "conformance" / "scenarios.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def expected_body(module: Any) -> Any:
    """What a module expects, where the certification text does not say otherwise."""
    return _FIXED.get(module["id"], module["expect"].get("body"))


def check(module: Any, answer: Answer) -> None:
    """Hold an answer to its module's expectation."""
    expect = module["expect"]
    assert answer.status in expect["status"], (answer.status, answer.body)
    if "echo_header" in expect:
        assert answer.headers[expect["echo_header"]] == module["headers"][expect["echo_header"]]
    if "warn_if_missing_header" in expect:
        assert expect["warn_if_missing_header"] in answer.headers
    if answer.status != 200:
        return
    assert answer.headers["content-type"] == "application/json"
    for name in expect.get("must_not_have", ()):
        assert name not in answer.document
    match = expect.get("match")
    if match is not None:
        _MATCHES[match](answer.document, expected_body(module))


def _decision(answer: Any, expected: Any) -> None:
    assert answer == expected


def _evaluations(answer: Any, expected: Any) -> None:
    """Bare decisions; an item that is an error says so in its context."""
    assert [each["decision"] for each in answer["evaluations"]] == [e["decision"] for e in expected["evaluations"]]
    for each in answer["evaluations"]:
        assert set(each) == {"decision"} or set(each["context"]) == {"error"}
    assert set(answer) == {"evaluations"}


def _superset(answer: Any, expected: Any) -> None:
    for result in expected["results"]:
        assert result in answer["results"]


def _empty(answer: Any, expected: Any) -> None:
    assert answer == expected


_MATCHES = {
    "decision": _decision,
    "evaluations-same-length-and-order": _evaluations,
    "evaluations-truncated-at-trigger": _evaluations,
    "results-superset": _superset,
    "results-empty": _empty,
}


def policy(name: str) -> Path:
    """The folder of an example policy."""
    return ROOT / "examples" / name
