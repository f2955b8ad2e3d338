"""One ledger of 1,500 decisions, and a policy under which many of them come out otherwise."""

import shutil
from pathlib import Path

import pytest

from authz.policy import build, opened
from tests.audit.published import publish
from tests.audit.signed_ledger import append_all
from tests.history.decided import SHIPPED, Asked, asked, decide
from tests.policy.conftest import ROOT


@pytest.fixture(scope="session")
def questions() -> Asked:
    """What was asked."""
    return asked(1500)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory, questions: Asked) -> Path:
    """A signed ledger of what the shipped policy decided, in four segments."""
    state = tmp_path_factory.mktemp("recorded")
    events = decide(opened(SHIPPED).policy, questions).ledger.events
    for start in range(0, len(events), 400):
        append_all(state / "audit", "main", events[start : start + 400])
    publish(state, "main")
    return state


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory, opa_binary: Path) -> str:
    """The shipped policy, changed in every way that data can: grants, conditions, requirements, a role that ended."""
    root = tmp_path_factory.mktemp("candidate")
    shutil.copytree(ROOT / "policies", root / "policies")
    roles = root / "policies" / "authz" / "roles" / "data.yaml"
    text = roles.read_text().replace("    - care:caregiver\n", "    - care:caregiver\n    - ai:chat\n")
    text = text.replace("    - ai:voice\n", "").replace(
        "  description: Sees everything an administrator sees, changes nothing\n",
        "  description: Sees everything an administrator sees, changes nothing\n  until: 1600000000\n",
    )
    roles.write_text(text)
    scopes = root / "policies" / "authz" / "scopes" / "data.yaml"
    data = scopes.read_text()
    for scope, condition in (("memory:read", "{acr: [gold]}"), ("photos:read", "{cidr: [10.0.0.0/8], amr: [mfa]}")):
        assert f"\n{scope}: {{" in data
        data = data.replace(f"\n{scope}: {{", f"\n{scope}: {{require: {condition}, ")
    scopes.write_text(data)
    out = root / "candidate.tar.gz"
    build(root / "policies", out, opa_binary)
    return str(out)
