"""`authz explain --case`: why a policy decides a case as it does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.bundle import read_shipped
from authz.policy import (
    NoSuchCaseError,
    Opened,
    explain_cases,
    named_cases,
    opened_bundle,
    policy_beside,
)
from tests.policy.conftest import ROOT

CASES = ROOT / "tests" / "cases"
SHIPPED = ROOT / "bundles" / "default.tar.gz"


@pytest.fixture(scope="module")
def shipped() -> Iterator[Opened]:
    """The shipped policy."""
    one = opened_bundle("default", read_shipped())
    yield one
    one.policy.close()


@pytest.fixture
def one_case(tmp_path: Path) -> Path:
    """A file with a case that the shipped policy decides otherwise; its names hold colons."""
    file = tmp_path / "a:b.yaml"
    file.write_text(
        "cases:\n"
        '  - name: "basic: POST /memory"\n'
        "    input: {subject: {type: user, id: u1, roles: [user_basic]}, action: {name: POST},\n"
        "            resource: {type: route, id: /memory}, context: {now: 1800000000}}\n"
        "    allow: true\n"
        "  - {name: nowhere, allow: false, input: {action: {name: PUT}, resource: {type: route, id: /memory}}}\n"
    )
    return file


@pytest.mark.parametrize("file", sorted(CASES.glob("*.yaml")), ids=lambda file: file.stem)
async def test_every_case_is_explained(shipped: Opened, file: Path) -> None:
    """However odd its input is; and the words fit the decision."""
    for each in await explain_cases(shipped, named_cases(str(file))):
        assert each.otherwise is None
        assert each.why[0].startswith("Allowed: " if each.decision == "allow" else "Denied: ")
        assert (len(each.why) > 1) == (each.reason != "public_route"), each.why


async def test_a_case_that_is_decided_otherwise(shipped: Opened, one_case: Path) -> None:
    """Says how, where it stands, and what would have to change; a path without a route names its methods."""
    basic, nowhere = await explain_cases(shipped, named_cases(str(one_case)))
    assert (basic.line, basic.name, basic.decision, basic.otherwise) == (
        2,
        "basic: POST /memory",
        "deny",
        "deny (scope_missing), not allow",
    )
    assert basic.why == (
        "Denied: POST /memory needs memory:write; memory:write is not held.",
        "Any one of these roles would allow it: caregiver_advanced, user_premium. Give the subject one of them.",
    )
    assert nowhere.why[:2] == (
        "Denied: PUT /memory: unmatched_route.",
        "The route is declared for GET, POST only.",
    )


def test_a_case_by_its_name(one_case: Path) -> None:
    """File and name may both hold colons; what is not there is said with what is."""
    assert [each.case.name for each in named_cases(f"{one_case}:basic: POST /memory")] == ["basic: POST /memory"]
    with pytest.raises(NoSuchCaseError, match="there is no case 'x'; there are 'basic: POST /memory', 'nowhere'"):
        named_cases(f"{one_case}:x")
    with pytest.raises(NoSuchCaseError, match="there is no such file of cases"):
        named_cases("nowhere.yaml:x")


def test_the_policy_that_a_case_lies_in(tmp_path: Path) -> None:
    """`SOURCE/cases/FILE` is a case of SOURCE; a directory of cases elsewhere is of none."""
    for name in ("mine/authz/a.rego", "mine/cases/a.yaml", "cases/b.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert policy_beside(str(tmp_path / "mine" / "cases" / "a.yaml")) == tmp_path / "mine"
    assert policy_beside(str(tmp_path / "cases" / "b.yaml")) is None


@pytest.mark.slow
def test_the_command(one_case: Path) -> None:
    """Text and JSON; exit 1 without such a case, 2 for wrong usage."""

    def explain(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "authz", "explain", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    revision = read_shipped().revision
    said = explain("--case", f"{one_case}:basic: POST /memory", "--policy", SHIPPED)
    told = explain("--case", one_case, "--policy", SHIPPED, "--json")
    assert (said.returncode, said.stdout.splitlines()[:3]) == (
        0,
        [
            f"{one_case}:2  basic: POST /memory",
            f"deny (scope_missing), revision {revision}, OTHERWISE than it says: deny (scope_missing), not allow",
            "Denied: POST /memory needs memory:write; memory:write is not held.",
        ],
    )
    assert [each["name"] for each in json.loads(told.stdout)] == ["basic: POST /memory", "nowhere"]
    assert explain("--case", f"{one_case}:x", "--policy", SHIPPED).returncode == 1
    assert explain("--case", one_case).returncode == 2
    assert explain().returncode == 2
    assert explain("ID", "--case", one_case).returncode == 2
