"""`authz policy matrix` and `diff` as a security team calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.policy.conftest import ROOT

SHIPPED = str(ROOT / "bundles" / "default.tar.gz")


def authz(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `authz policy` with these arguments."""
    command = [sys.executable, "-m", "authz", "policy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory, opa_binary: Path) -> Path:
    """The default policy's sources, in a repository; then a role loses a scope and another gains one."""
    if shutil.which("git") is None:
        missing("git")
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "policies", root / "policies")
    for step in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *step], cwd=root, check=True)
    roles = root / "policies" / "authz" / "roles" / "data.yaml"
    text = roles.read_text()
    roles.write_text(
        text.replace("    - care:caregiver\n", "    - care:caregiver\n    - ai:chat\n").replace("    - ai:voice\n", "")
    )
    return root


CHANGES = """\
caregiver_advanced GAINS ai:chat through caregiver_basic
caregiver_advanced GAINS POST /ai/chat
caregiver_basic GAINS ai:chat
caregiver_basic GAINS POST /ai/chat
user_premium LOSES ai:voice
user_premium LOSES POST /ai/voice
"""


@pytest.mark.slow
def test_a_commit_is_compared_with_the_working_tree(edited: Path) -> None:
    """`diff git:HEAD policies` says in words who gains and loses by what is not committed yet."""
    done = authz("diff", "git:HEAD", "policies", cwd=edited)
    assert (done.returncode, done.stderr) == (0, "")
    told, _, counted = done.stdout.rstrip().rpartition("\n")
    assert told == CHANGES.rstrip()
    assert counted.endswith(": 4 gains, 2 losses")


@pytest.mark.slow
def test_a_merge_fails_on_gains_nobody_approved(edited: Path, tmp_path: Path) -> None:
    """`--fail-on gain` is exit 1 until each gain is in the approved file; losses do not matter to it."""
    both = (SHIPPED, str(edited / "policies"))
    refused = authz("diff", *both, "--fail-on", "gain")
    assert refused.returncode == 1
    assert refused.stderr.startswith("4 not approved: gain role caregiver_advanced: ai:chat; ")
    approved = tmp_path / "approved.txt"
    approved.write_text("# agreed in review\n\n" + authz("diff", *both, "--keys").stdout)
    assert authz("diff", *both, "--fail-on", "any", "--approved", str(approved)).returncode == 0
    approved.write_text("".join(line for line in approved.read_text().splitlines(True) if "POST" not in line))
    assert authz("diff", *both, "--fail-on", "gain", "--approved", str(approved)).returncode == 1


@pytest.mark.slow
def test_the_matrix_can_be_narrowed() -> None:
    """`--role` and `--route` show a part of it, as JSON with every condition in words."""
    done = authz("matrix", SHIPPED, "--role", "user_basic", "--route", "/users/{id}/profile", "--json")
    assert json.loads(done.stdout) == [
        {
            "holder": "user_basic",
            "kind": "route",
            "method": "GET",
            "path": "/users/{id}/profile",
            "host": "",
            "when": "on their own {id}",
        }
    ]
    table = authz("matrix", SHIPPED, "--role", "user_basic", "--role", "admin", "--route", "/users/{id}/profile")
    assert table.stdout.splitlines() == [
        "                         admin  user_basic",
        "GET /users/{id}/profile  yes    [1]",
        "PUT /users/{id}/profile  yes    .",
        "",
        "[1] on their own {id}",
    ]


def test_the_matrix_is_a_spreadsheet_too() -> None:
    """CSV has a line for each thing that somebody may do."""
    done = authz("matrix", SHIPPED, "--scope", "care:caregiver", "--format", "csv")
    assert done.stdout.splitlines() == [
        "holder,kind,method,path,host,when",
        "caregiver_advanced,scope,use,care:caregiver,,",
        "caregiver_basic,scope,use,care:caregiver,,",
        "a token with care:caregiver,scope,use,care:caregiver,,",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "nowhere: no such bundle or directory (or write git:REF)"),
        ("git:-x", "git:-x: name a commit, a branch or a tag (git:main)"),
        ("git:no-such-ref", "git:no-such-ref: fatal: not a valid object name: no-such-ref:./policies"),
    ],
)
def test_what_is_no_policy_is_named(source: str, said: str) -> None:
    """A source that is none is a usage error that says what could stand there."""
    done = authz("matrix", source)
    assert done.returncode == 2
    assert said in done.stderr
