"""What nobody used, who holds what, and which routes are missing, from a ledger of a few decisions."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from authz.core import DecisionBody, Event
from authz.history import Holder, RoleUse, ScopeUse, SubjectUse, Unused, scope_use, write_gauges
from authz.history.used import Held, NoRolesError
from authz.policy import Fold, held_by, holders, missing_routes, read_verified, unused
from tests.audit.published import publish
from tests.audit.signed_ledger import append_all
from tests.fakes import pseudonym
from tests.policy.conftest import ROOT

ALICE, BOB, CAROL = map(pseudonym, ("alice", "bob", "carol"))
HELD = Held(
    roles={
        "reader": frozenset({"doc:read"}),
        "writer": frozenset({"doc:read", "doc:write", "doc:share", "doc:sign"}),
        "ghost": frozenset({"doc:read"}),
    },
    implies={
        "doc:read": frozenset({"doc:read"}),
        "doc:write": frozenset({"doc:read", "doc:write"}),
        "doc:share": frozenset({"doc:share"}),
        "doc:sign": frozenset({"doc:sign"}),
    },
)


def _event(number: int, subject: str, roles: tuple[str, ...], **fields: Any) -> Event:
    allow = fields.get("decision", "allow") == "allow"
    stated = {
        "decision": "allow",
        "reason": "scope_granted",
        "subject": subject,
        "subject_type": "user",
        "subject_source": "token",
        "roles": roles,
        "action": "GET",
        "revision": "r1",
        "engine": "embedded",
        "dialect": "envoy",
        "caller": "edge",
    }
    return Event(f"e{number}", "auth.scope_granted" if allow else "auth.scope_denied", DecisionBody(**stated | fields))


EVENTS = (
    _event(1, ALICE, ("writer",), route="/docs", granted_by={"doc:read": ("writer",)}),
    _event(2, ALICE, ("writer",), route="/docs", granted_by={"doc:write": ("writer",)}),
    _event(3, BOB, ("writer", "reader"), route="/docs", granted_by={"doc:read": ("reader", "writer")}),
    _event(4, CAROL, ("reader",), route="/docs", decision="deny", reason="not_owner", scopes=("doc:read",)),
    _event(5, BOB, ("writer",), path=f"/docs/{pseudonym('x')}/pages/{BOB}", decision="deny", reason="unmatched_route"),
    _event(
        6, ALICE, ("writer",), path=f"/docs/{pseudonym('y')}/pages/{BOB}", decision="deny", reason="unmatched_route"
    ),
    _event(7, ALICE, (), path="/docs", action="DELETE", decision="deny", reason="method_not_allowed", host="a.test"),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed ledger of these decisions."""
    state = tmp_path_factory.mktemp("used")
    append_all(state / "audit", "main", list(EVENTS))
    publish(state, "main")
    return state


@pytest.fixture(scope="module")
def fold(state: Path) -> Fold:
    """The ledger, folded."""
    fold = Fold()
    read_verified(fold, state)
    return fold


def test_unused(fold: Fold) -> None:
    """Per role what was granted by it and what never was, the smallest role that would do, and who holds far more."""
    assert unused(fold.tallies, HELD) == Unused(
        roles=(
            RoleUse("ghost", 0, (), ("doc:read",), ()),
            RoleUse("reader", 2, ("doc:read",), (), ("doc:read",)),
            RoleUse("writer", 2, ("doc:read", "doc:write"), ("doc:share", "doc:sign"), ("doc:write",)),
        ),
        far_more=(SubjectUse(BOB, ("reader", "writer"), 4, ("doc:read",)),),
    )


def test_holders(fold: Fold) -> None:
    """Everybody seen with a role that holds the scope, and whether the scope was ever granted to them."""
    assert holders(fold.tallies, HELD, "doc:read") == sorted(
        [Holder(ALICE, ("writer",), True), Holder(BOB, ("reader", "writer"), True), Holder(CAROL, ("reader",), False)],
        key=lambda holder: holder.subject,
    )
    assert holders(fold.tallies, HELD, "doc:eat") == []


def test_scope_use_is_the_numbers_of_holders(fold: Fold) -> None:
    """For every scope of the policy, as many subjects as `holders` names one by one."""
    for scope, use in scope_use(fold.tallies, HELD).items():
        found = holders(fold.tallies, HELD, scope)
        assert (scope, use) == (scope, ScopeUse(len(found), sum(each.used for each in found)))
    assert set(scope_use(fold.tallies, HELD)) == set(HELD.implies)


def test_the_same_numbers_as_metrics(fold: Fold, tmp_path: Path) -> None:
    """The text file holds them all, for the policy's own roles and scopes, and is the same when written again."""
    file = tmp_path / "authz.prom"
    for _ in range(2):
        write_gauges(file, fold, HELD, "2026-01-01T00:00:00.000000Z")
    samples = {
        (sample.name.removeprefix("authz_evidence_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }
    assert samples.pop(("read_timestamp_seconds",)) == pytest.approx(time.time(), abs=60)
    assert samples == {
        ("decisions",): 7,
        ("since_timestamp_seconds",): 1767225600,
        ("role_subjects", "ghost"): 0,
        ("role_subjects", "reader"): 2,
        ("role_subjects", "writer"): 2,
        ("role_scopes", "ghost", "used"): 0,
        ("role_scopes", "ghost", "unused"): 1,
        ("role_scopes", "reader", "used"): 1,
        ("role_scopes", "reader", "unused"): 0,
        ("role_scopes", "writer", "used"): 2,
        ("role_scopes", "writer", "unused"): 2,
        ("scope_subjects", "doc:read", "held"): 3,
        ("scope_subjects", "doc:read", "used"): 2,
        ("scope_subjects", "doc:write", "held"): 2,
        ("scope_subjects", "doc:write", "used"): 1,
        ("scope_subjects", "doc:share", "held"): 2,
        ("scope_subjects", "doc:share", "used"): 0,
        ("scope_subjects", "doc:sign", "held"): 2,
        ("scope_subjects", "doc:sign", "used"): 0,
        ("far_more_subjects",): 1,
        ("unmatched_decisions", "GET", "unmatched_route"): 2,
        ("unmatched_decisions", "DELETE", "method_not_allowed"): 1,
    }


def test_unmatched(fold: Fold) -> None:
    """Paths that differ in IDs only are one, and the entry to paste is a route with these parameters."""
    found = missing_routes(fold.tallies)
    assert [(row.method, row.path, row.host, row.reason, row.decisions, row.subjects) for row in found] == [
        ("GET", "/docs/{id}/pages/{id2}", None, "unmatched_route", 2, 2),
        ("DELETE", "/docs", "a.test", "method_not_allowed", 1, 1),
    ]
    assert [yaml.safe_load(row.yaml()) for row in found] == [
        {"/docs/{id}/pages/{id2}": [{"methods": ["GET"], "all_of": ["WHICH_SCOPE"]}]},
        {"/docs": [{"methods": ["DELETE"], "host": "a.test", "all_of": ["WHICH_SCOPE"]}]},
    ]


def test_a_policy_without_that_table_is_refused() -> None:
    """Where the data does not say which role holds what, nothing is said about roles."""
    with pytest.raises(NoRolesError):
        held_by(b'{"authz":{}}')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("unused", "--policy", str(ROOT / "bundles" / "default.tar.gz")), "nobody was seen with it"),
        (("holders", "--policy", str(ROOT / "bundles" / "default.tar.gz"), "--scope", "memory:read"), "0 subjects"),
        (("unmatched",), "/docs/{id}/pages/{id2}:"),
    ],
)
def test_the_commands(state: Path, command: tuple[str, ...], expected: str) -> None:
    """Each command reads a verified ledger and says it in words, or as JSON."""
    whole = [sys.executable, "-m", "authz", "policy", *command, "--state", str(state)]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout
    done = subprocess.run([*whole, "--json"], capture_output=True, text=True, check=True)
    json.loads(done.stdout)


@pytest.mark.slow
def test_the_command_writes_the_text_file(state: Path, tmp_path: Path) -> None:
    """`unused --prometheus` says the same and leaves the file."""
    file = tmp_path / "authz.prom"
    command = [sys.executable, "-m", "authz", "policy", "unused", "--policy", str(ROOT / "bundles" / "default.tar.gz")]
    command += ["--state", str(state), "--prometheus", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "authz_evidence_decisions 7.0\n" in file.read_text()
