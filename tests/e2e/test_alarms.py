"""Alarms with a real sidecar and its auditor: each is in the ledger within two seconds, and no other with it."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from authz.audit import get_audit_events, try_alarms, verify
from authz.config import AlarmSettings
from authz.identity import mint_token
from tests.e2e.test_auditor import auditor_pid
from tests.processes import Sidecar, sidecar, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_WITHIN_SECONDS = 2.0
_TYPES = ("security.suspicious_activity", "admin.first_access")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar whose auditor has begun."""
    with sidecar(tmp_path_factory.mktemp("alarms") / "state") as started:
        wait_for("an auditor", lambda: auditor_pid(started.state))
        yield started


def ask(running: Sidecar, token: str, method: str, path: str, ip: str = "192.0.2.1") -> int:
    """One check; the status."""
    headers = {"Authorization": f"Bearer {token}", "X-Authz-Client-IP": ip}
    try:
        with urlopen(Request(f"{running.decision}/check/envoy{path}", headers=headers, method=method)) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def token(running: Sidecar, sub: str, *roles: str) -> str:
    """A development token."""
    return mint_token(running.state, sub, roles or ("user_basic",), None)


def alarms(state: Path) -> list[dict[str, Any]]:
    """All that were recorded, newest first."""
    return [each for name in _TYPES for each in get_audit_events(1000, path=state, type=name)]


def many_denials(running: Sidecar, sub: str) -> None:
    """Twenty times the same thing that is not for this subject."""
    held = token(running, sub)
    assert [ask(running, held, "PUT", "/admin/config") for _ in range(20)] == [403] * 20


def scope_probing(running: Sidecar, sub: str) -> None:
    """One thing after another that is not for this subject."""
    held = mint_token(running.state, sub, ("caregiver_basic",), [])
    places = [
        ("GET", "/memory"), ("POST", "/memory"), ("GET", "/calendar"), ("POST", "/calendar"), ("GET", "/photos"),
        ("POST", "/photos"), ("PUT", "/admin/config"), ("GET", "/admin/users"), ("POST", "/ai/chat"),
        ("POST", "/memory/search"),
    ]  # fmt: skip
    statuses = [ask(running, held, method, path) for method, path in places]
    assert set(statuses) == {403}


def token_addresses(running: Sidecar, sub: str) -> None:
    """One token from four addresses."""
    held = token(running, sub)
    assert [ask(running, held, "GET", "/memory", f"198.51.100.{each}") for each in range(4)] == [200] * 4


def first_admin_scope(running: Sidecar, sub: str) -> None:
    """An admin's first act through the gateway."""
    assert ask(running, token(running, sub, "admin"), "GET", "/admin/users") == 200


def new_admin(running: Sidecar, sub: str) -> None:
    """An admin's first look at the admin listener."""
    held = token(running, sub, "admin")
    with urlopen(Request(f"{running.admin}/v1/catalogue", headers={"Authorization": f"Bearer {held}"})) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "scenario",
    [many_denials, scope_probing, token_addresses, first_admin_scope, new_admin],
    ids=lambda each: each.__name__,
)
def test_each_alarm_is_recorded_within_two_seconds(running: Sidecar, scenario: Callable[[Sidecar, str], None]) -> None:
    """Its scenario raises it, and it alone; the metric follows, and the log says it too."""
    name = scenario.__name__
    before = {each["id"] for each in alarms(running.state)}
    metric = f'authz_alarms_total{{rule="{name}"}}'
    counted = running.metrics()[metric]

    scenario(running, f"subject-of-{name}")
    done = time.monotonic()
    wait_for(name, lambda: {each["id"] for each in alarms(running.state)} - before)
    took = time.monotonic() - done
    wait_for("the metric", lambda: running.metrics()[metric] == counted + 1)
    time.sleep(1.0)  # long enough for another one, which would be wrong
    found = [each for each in alarms(running.state) if each["id"] not in before]

    assert [each["rule"] for each in found] == [name]
    assert took < _WITHIN_SECONDS
    assert found[0]["stream"] == "auditor"
    assert found[0]["type"] == ("admin.first_access" if name == "new_admin" else "security.suspicious_activity")
    decided = {each["id"] for each in get_audit_events(1000, path=running.state) if "decision" in each}
    assert set(found[0]["decisions"]) <= decided
    assert f"subject-of-{name}" not in json.dumps(found)


def test_a_restart_raises_nothing_twice(running: Sidecar) -> None:
    """An auditor that is killed and started again is silent about what it has said, and the ledger verifies."""
    known = len(alarms(running.state))
    first_admin_scope(running, "long-known")
    wait_for("an alarm", lambda: len(alarms(running.state)) > known)
    before = {each["id"] for each in alarms(running.state)}
    pid = auditor_pid(running.state)
    os.kill(pid, signal.SIGKILL)
    wait_for("another auditor", lambda: auditor_pid(running.state) not in (0, pid))
    first_admin_scope(running, "long-known")
    first_admin_scope(running, "after the restart")
    wait_for("the new one", lambda: {each["id"] for each in alarms(running.state)} - before)
    time.sleep(1.0)

    new = [each for each in alarms(running.state) if each["id"] not in before]
    tried = try_alarms(running.state, AlarmSettings(), "1d")
    assert len(new) == 1
    assert len(tried.alarms) == len(before) + 1
    assert verify(running.state).intact
