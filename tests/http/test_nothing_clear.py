"""No token and no clear id is written down anywhere, in whatever way of asking and whatever mode of privacy."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from authz.cli import program
from authz.gateways import DIALECTS
from authz.metrics import render
from authz.privacy import new_team_key
from tests.gateways.questions import OWN
from tests.http.test_checks import PLUGIN_ROUTES, posted

from .conftest import Running, Start

SECRETS = (
    "alice-Zq7",
    "bob-Zq7",
    "item-Zq7",
    "sid-Zq7",
    "198.51.100.77",
    "agent-Zq7",
    "owner-Zq7",
    "4711000815",
    "e-Zq7",
)


def told(name: str, path: str) -> dict[str, str]:
    """The headers in which a gateway of this name tells the path, the client's address and its agent."""
    asked = {
        field: value.replace("/memory/42?full=1", path)
        .replace("DELETE", "GET")
        .replace("192.0.2.1", SECRETS[4])
        .replace("curl/8", SECRETS[5])
        .replace("s-1", SECRETS[3])
        for field, value in OWN.get(name, {}).items()
    }
    return {**asked, "X-Authz-Session-ID": SECRETS[3]}


async def ask_in_every_way(running: Running) -> list[str]:
    """Through each dialect, plugin and AuthZEN, allowed, denied, refused and misspelt; the tokens that were used."""
    token = running.token("alice-Zq7", "user_basic", sid="sid-Zq7", email="alice-Zq7@example.com")
    bad = f"{token[:-6]}AAAAAA"
    for name in (prefix.rpartition("/")[2] for prefix in DIALECTS):
        for path in ("/memory/item-Zq7", "/users/bob-Zq7/profile", "/nowhere/bob-Zq7?q=owner-Zq7", "/a//bob-Zq7"):
            url = f"{running.decision}/check/{name}" + (path if name == "envoy" else "")
            for each in (token, bad, None):
                await running.send("GET", url, headers=told(name, path), token=each)
    for name, route in PLUGIN_ROUTES.items():
        for each in (token, bad):
            body = posted(name, "GET", "/memory/item-Zq7", authorization=f"Bearer {each}", **told("nginx", "/x"))
            await running.send("POST", f"{running.decision}{route}", body)
    question: dict[str, Any] = {
        "subject": {"type": "user", "id": "alice-Zq7", "properties": {"email": "owner-Zq7@example.com"}},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "item-Zq7", "properties": {"owner": "owner-Zq7", "phone": 4711000815}},
        "context": {"friends": ["bob-Zq7"], "bob-Zq7@example.com": True, "ip": "198.51.100.77"},
    }
    await running.evaluate(question)
    await running.evaluate(question, token=token)
    with_token = {**question["subject"], "properties": {"token": bad}}
    await running.evaluate({**question, "subject": with_token})
    await running.evaluate({**question, "subject": {"type": "user", "id": "bob-Zq7"}}, token=token)
    await running.evaluate(b'{"subject": {"type": "user", "id": "alice-Zq7"')
    others = {
        "/access/v1/evaluations": {**question, "evaluations": [{}, {"subject": {"type": "user", "id": "bob-Zq7"}}]},
        "/v1/data/authz/decision": {"input": question},
        "/v1/events": [
            {"id": "e-Zq7", "type": "user.profile_accessed", "subject": "bob-Zq7", "session_id": "sid-Zq7"},
            {"id": "f-Zq7", "type": "auth.login", "subject": "alice-Zq7", "context": {"by": "owner-Zq7"}},
            {"id": "g-Zq7", "type": "no.such", "subject": "alice-Zq7"},
        ],
    }
    statuses = [
        (await running.send("POST", f"{running.decision}{path}", body, token=each)).status
        for path, body in others.items()
        for each in (None, token)
    ]
    assert 404 not in statuses
    await running.send("POST", f"{running.admin}/v1/audit/search", {"subject": "alice-Zq7"})
    await running.send("GET", f"{running.admin}/v1/audit/events/alice-Zq7", token=running.token("root", "admin"))
    return [token, bad]


def everything(state: Path) -> bytes:
    """All files of a state directory but the keys."""
    return b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file() and "keys" not in path.parts)


MODES: dict[str, dict[str, Any]] = {
    "keyed": {"audit.fields": {"ip": "drop", "user_agent": "drop"}},
    "keyed and named": {"audit.names": True, "audit.fields": {"ip": "encrypt", "user_agent": "encrypt"}},
    "all encrypted": {
        "audit.fields": {"ip": "encrypt", "user_agent": "encrypt", "params": "encrypt", "session_id": "drop"}
    },
    "salted": {"audit.privacy": "salts", "audit.fields": {"ip": "coarsen", "user_agent": "coarsen"}},
    "salted and named": {
        "audit.privacy": "salts",
        "audit.names": True,
        "audit.fields": {"ip": "encrypt", "user_agent": "encrypt", "params": "coarsen"},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_nothing_clear_is_written_down(
    start: Start, tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """After every way of asking neither the state directory, the logs nor the metrics hold a token or a clear id."""
    new_team_key(tmp_path / "team.key", tmp_path / "team.pub")
    running = await start(**{"audit.security_key": str(tmp_path / "team.pub"), **MODES[mode]})
    tokens = await ask_in_every_way(running)
    metrics, _ = await render("")
    await running.pdp.close("test")
    written = everything(running.state) + metrics + "".join(capfd.readouterr()).encode()
    assert len(await running.events(limit=1000)) > 80
    assert [secret for secret in SECRETS if secret.encode() in written] == []
    assert [token for token in tokens if any(part.encode() in written for part in token.split("."))] == []


async def test_names_are_for_the_security_team(start: Start, tmp_path: Path) -> None:
    """`events --names KEY` shows who it was, and opens what was sealed; without the key nobody sees either."""
    new_team_key(tmp_path / "team.key", tmp_path / "team.pub")
    fields = {"ip": "encrypt", "params": "encrypt"}
    flags = {"audit.security_key": str(tmp_path / "team.pub"), "audit.names": True, "audit.fields": fields}
    running = await start(**flags)
    token = running.token("alice-Zq7", "user_basic")
    url = f"{running.decision}/check/nginx"
    await running.send("GET", url, token=token, headers=told("nginx", "/memory/item-Zq7"))
    await running.pdp.close("test")
    run = ["audit", "events", "--state", str(running.state), "--subject", "alice-Zq7", "--json"]
    [hidden] = json.loads(CliRunner().invoke(program, run).stdout)
    [shown] = json.loads(CliRunner().invoke(program, [*run, "--names", str(tmp_path / "team.key")]).stdout)
    assert (hidden.get("subject_name"), hidden["ip"][:3], hidden["params"]["id"][:3]) == (None, "s1:", "s1:")
    assert (shown["subject_name"], shown["ip"], shown["params"]) == ("alice-Zq7", "198.51.100.77", {"id": "item-Zq7"})
    assert shown["subject"] == hidden["subject"]
    table = CliRunner().invoke(program, [*run[:-1], "--names", str(tmp_path / "team.key")]).stdout
    assert "alice-Zq7" in table
