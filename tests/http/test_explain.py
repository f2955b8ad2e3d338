"""Why: of a live request, a batch, and a decision of the past, through the whole service."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import Running, Start

HELD = (
    "Allowed: GET /memory needs memory:read, which the subject holds.",
    "memory:read is held through user_basic > memory:read.",
)
NOT_HELD = (
    "Denied: POST /memory needs memory:write; memory:write is not held.",
    "Any one of these roles would allow it: caregiver_advanced, user_premium. Give the subject one of them.",
)
SUBJECT = {"type": "user", "id": "alice", "properties": {"roles": ["user_basic"]}}


def asked(method: str, path: str, subject: object = SUBJECT) -> dict[str, object]:
    return {"subject": subject, "action": {"name": method}, "resource": {"type": "route", "id": path}}


async def authz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "authz", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)


async def test_a_live_request_is_explained(running: Running) -> None:
    """`?explain=true` adds the sentences, of one question and of each in a batch; without it nothing is said."""
    one = await running.evaluate(asked("GET", "/memory"), "?explain=true")
    many = await running.send(
        "POST",
        f"{running.decision}/access/v1/evaluations?explain=true",
        {"evaluations": [asked("GET", "/memory"), asked("POST", "/memory")]},
    )
    bare = await running.evaluate(asked("GET", "/memory"))
    assert tuple(one.body["context"]["why"]) == HELD
    assert [tuple(each["context"]["why"]) for each in many.body["evaluations"]] == [HELD, NOT_HELD]
    assert bare.body == {"decision": True}


async def test_the_token_is_named_where_it_is_the_token(running: Running) -> None:
    """A role that would do and a token that leaves the scope out: the sentence says which."""
    token = running.token("alice", "user_premium", scopes=["memory:read"])
    answer = await running.evaluate(
        asked("POST", "/memory", {"type": "user", "id": "alice"}), "?explain=true", token=token
    )
    assert answer.body["context"]["why"][1] == (
        "The roles hold memory:write, but the token's scopes (memory:read) leave it out: ask the issuer for a token "
        "with memory:write."
    )


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/users/bob/profile", "{id} has to be the subject's own ID, and is somebody else's."),
        ("GET", "/users/alice/profile", "user:profile:read is held through user_basic > user:profile:read."),
        ("PATCH", "/memory", "The route is declared for GET, POST only."),
        ("GET", "/nowhere", "No declared route matches the method, path and host."),
    ],
)
async def test_the_past_is_explained_in_the_words_of_its_day(
    running: Running, method: str, path: str, said: str
) -> None:
    """The admin listener explains a recorded decision as the live answer did, from pseudonyms alone."""
    live = await running.evaluate(asked(method, path), "?explain=true")
    token = running.token("root", "admin_readonly")
    found = await running.send("GET", f"{running.admin}/v1/policy/explain/{live.headers['x-decision-id']}", token=token)
    assert said in live.body["context"]["why"]
    if path != "/nowhere":  # whose path is written down as pseudonyms
        assert found.body["why"] == live.body["context"]["why"]
    assert said in found.body["why"]


async def test_what_is_no_decision_is_not_explained(running: Running) -> None:
    """Who asks for an event that is not there, or is none of the policy's decisions, is told so."""
    token = running.token("root", "admin_readonly")
    (startup,) = await running.events(type="system.startup")
    for event_id in ("nothing", startup["id"]):
        answer = await running.send("GET", f"{running.admin}/v1/policy/explain/{event_id}", token=token)
        assert answer.status == 404
    refused = await running.send("GET", f"{running.admin}/v1/policy/explain/x", token=running.token("a", "user_basic"))
    assert refused.status == 403


@pytest.mark.slow
async def test_explain_by_id_here_and_at_a_replica(running: Running) -> None:
    """`authz explain ID` says the same from a state directory and from a replica; 1 without such a decision."""
    decided = await running.evaluate(asked("POST", "/memory"))
    event_id = decided.headers["x-decision-id"]
    token_file = running.state / "token"
    token_file.write_text(running.token("root", "admin_readonly"))
    here, there, nowhere = await asyncio.gather(
        authz("explain", event_id, "--state", str(running.state)),
        authz("explain", event_id, "--url", running.admin, "--token-file", str(token_file), "--json"),
        authz("explain", "nothing", "--url", running.admin, "--token-file", str(token_file)),
    )
    assert (here.returncode, tuple(here.stdout.splitlines()[1:])) == (0, NOT_HELD), here.stderr
    assert tuple(json.loads(there.stdout)["why"]) == NOT_HELD
    assert nowhere.returncode == 1


@pytest.mark.slow
async def test_the_past_has_its_own_revision(start: Start, opa_binary: Path, tmp_path: Path) -> None:
    """A decision is explained by the bundle it was made with, and without it by the record alone."""
    from authz import policy

    root = Path(__file__).parents[2]
    mine = tmp_path / "policies"
    shutil.copytree(root / "policies", mine)
    roles = mine / "authz" / "roles" / "data.yaml"
    roles.write_text(roles.read_text().replace("    - ai:voice\n", ""))
    policy.build(mine, tmp_path / "mine.tar.gz", opa_binary)
    running = await start(**{"policy.source": str(tmp_path / "mine.tar.gz")})
    question = {**SUBJECT, "properties": {"roles": ["user_premium"]}}
    decided = await running.evaluate(asked("POST", "/ai/voice", question))
    event_id = decided.headers["x-decision-id"]
    await running.stop()

    explained = await authz("explain", event_id, "--state", str(running.state))
    assert explained.stdout.splitlines()[1:] == [
        "Denied: POST /ai/voice needs ai:voice; ai:voice is not held.",
        "No role alone would allow it: give one of the subject's roles (user_premium) ai:voice.",
    ]
    for kept in (running.state / "bundles").glob("*.tar.gz"):
        kept.unlink()
    explained = await authz("explain", event_id, "--state", str(running.state))
    assert explained.stdout.splitlines()[-1].endswith("is not kept here: only the record speaks.")


@pytest.mark.slow
async def test_a_condition_is_true_end_to_end(start: Start, opa_binary: Path, tmp_path: Path) -> None:
    """acr and amr of a verified token and the client's address decide; a role ends; each is said."""
    from authz import policy

    root = Path(__file__).parents[2]
    mine = tmp_path / "policies"
    shutil.copytree(root / "policies", mine)
    scopes = mine / "authz" / "scopes" / "data.yaml"
    scopes.write_text(
        scopes.read_text().replace(
            "ai:voice: {description: Talk to the assistant aloud}",
            "ai:voice: {description: Aloud, require: {acr: [gold], amr: [mfa], cidr: [10.0.0.0/8]}}",
        )
    )
    roles = mine / "authz" / "roles" / "data.yaml"
    roles.write_text(roles.read_text() + "\nguest:\n  description: Was here\n  scopes: [ai:chat]\n  until: 1000\n")
    policy.build(mine, tmp_path / "mine.tar.gz", opa_binary)
    running = await start(**{"policy.source": str(tmp_path / "mine.tar.gz")})

    async def said(path: str, ip: str, role: str, **claims: Any) -> tuple[bool, str]:
        answer = await running.evaluate(
            asked("POST", path, {"type": "user", "id": "alice"}),
            "?explain=true",
            token=running.token("alice", role, **claims),
            headers={"X-Authz-Client-IP": ip},
        )
        return answer.body["decision"], answer.body["context"]["why"][1]

    assert await said("/ai/voice", "10.1.2.3", "user_premium", acr="gold", amr=["pwd", "mfa"]) == (
        True,
        "ai:voice is held through user_premium > ai:voice.",
    )
    assert await said("/ai/voice", "10.1.2.3", "user_premium", acr="bronze", amr=["mfa"]) == (
        False,
        "ai:voice is held, but requires a sign-in with acr gold.",
    )
    assert await said("/ai/voice", "11.1.2.3", "user_premium", acr="gold") == (
        False,
        "ai:voice is held, but requires a sign-in with amr mfa and a client address in 10.0.0.0/8.",
    )
    allow, sentence = await said("/ai/chat", "10.1.2.3", "guest")
    assert (allow, sentence) == (
        False,
        "guest held ai:chat until its `until`: move it in roles/data.yaml, or give the subject another role.",
    )


@pytest.mark.slow
async def test_the_policy_in_force_can_be_looked_at(running: Running, tmp_path: Path) -> None:
    """The matrix and the bundle in force are at the admin listener; `authz policy diff` takes its URL as a side."""
    token = running.token("root", "admin_readonly")
    matrix = await running.send("GET", f"{running.admin}/v1/policy/matrix", token=token)
    cells = {(each["holder"], each["method"], each["path"]) for each in matrix.body["cells"]}
    assert matrix.body["revision"] == running.pdp.policies.active.revision
    assert ("user_basic", "GET", "/memory") in cells
    assert ("user_basic", "POST", "/memory") not in cells
    (tmp_path / "token").write_text(token)
    root = Path(__file__).parents[2]
    done = await authz(
        "policy", "diff", running.admin, str(root / "bundles/default.tar.gz"), "--token-file", str(tmp_path / "token")
    )
    assert done.stdout.rstrip().endswith("0 gains, 0 losses; nobody gains or loses")
