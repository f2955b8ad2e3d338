"""`authz audit events | tail | top | timeline`, of a directory and of running replicas."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from authz.audit import verify
from authz.cli import program
from tests.audit.indexing import doctor, index

from .conftest import Running, Start

TOKEN = "hammer"


@pytest.fixture
async def replicas(start: Start, tmp_path: Path) -> list[Running]:
    """Two of them, each with a ledger of its own: alice reads on both, bob is denied on the second."""
    tokens = [{"name": "on-call", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]
    found = [await start(state=str(tmp_path / name), **{"admin.tokens": tokens}) for name in ("one", "two")]
    (tmp_path / "token").write_text(TOKEN)
    for number in range(6):
        replica = found[number % 2]
        await replica.check("GET", f"/memory/{number}", token=replica.token("alice", "user_basic"))
    await found[1].check("GET", "/admin/users/7", token=found[1].token("bob", "user_basic"))
    return found


async def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """One command, beside the sidecars."""
    return await asyncio.to_thread(CliRunner().invoke, program, ["audit", *map(str, arguments)], env=env)


def urls(replicas: list[Running], tmp_path: Path) -> list[object]:
    return [*(part for each in replicas for part in ("--url", each.admin)), "--token-file", tmp_path / "token"]


def name(replica: Running) -> str:
    return replica.admin.removeprefix("http://")


async def test_replicas_are_merged_in_order(replicas: list[Running], tmp_path: Path) -> None:
    """With the instance of each event; a clear user id is found, each replica knowing its own pseudonyms."""
    result = await run("events", *urls(replicas, tmp_path), "--subject", "alice", "--limit", "5", "--json")
    events = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [event["instance"] for event in events] == [name(replicas[number % 2]) for number in (5, 4, 3, 2, 1)]
    table = await run("events", *urls(replicas, tmp_path), "--decision", "deny")
    heading, row = table.stdout.splitlines()
    assert (heading.split()[0], row.split()[0], "scope_missing" in row) == ("INSTANCE", name(replicas[1]), True)


async def test_a_replica_that_is_missing_is_said(replicas: list[Running], tmp_path: Path) -> None:
    """The others' events are there, and the exit code is 3; when none is left there is no answer."""
    await replicas[0].listeners.close()
    for command in (["events"], ["top"], ["timeline", "--subject", "alice"]):
        result = await run(*command, *urls(replicas, tmp_path), "--json")
        assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
        assert result.stderr.startswith(f"could not find out: {name(replicas[0])}: ")
        assert json.loads(result.stdout)
    none = await run("events", *urls(replicas[:1], tmp_path))
    assert (none.exit_code, none.stdout) == (3, "")
    nobody = await run("events", "--url", replicas[1].admin)
    assert (nobody.exit_code, "HTTP 401" in nobody.stderr) == (3, True)


async def test_top_counts_what_was_asked_for(replicas: list[Running], tmp_path: Path) -> None:
    """Most first, over all replicas, as a table and as JSON."""
    asked = ["--by", "reason,route,scope", "--since", "1h", "--type", "auth.scope_granted"]
    table = await run("top", *urls(replicas, tmp_path), *asked)
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["EVENTS", "REASON", "ROUTE", "SCOPE"],
        ["6", "scope_granted", "/memory/{id}", "memory:read"],
    ]
    result = await run("top", "--state", replicas[1].state, "--by", "decision", "--role", "user_basic", "--json")
    assert json.loads(result.stdout) == [{"events": 3, "decision": "allow"}, {"events": 1, "decision": "deny"}]
    wrong = await run("top", "--state", replicas[1].state, "--by", "colour")
    assert (wrong.exit_code, "'colour' is not counted by" in wrong.output) == (2, True)


async def test_a_timeline_is_in_order_and_says_why(replicas: list[Running]) -> None:
    """Of one subject, oldest first, with the scopes that were granted or missing."""
    result = await run("timeline", replicas[1].state, "--subject", "bob")
    [line] = result.stdout.splitlines()
    assert "GET /admin/users/{id}  scope_missing: lacks admin:users:read" in line, line
    several = await run("timeline", replicas[0].state, "--subject", "alice")
    lines = several.stdout.splitlines()
    assert [line[:24] for line in lines] == sorted(line[:24] for line in lines)
    assert ["scope_granted: memory:read by user_basic" in line for line in lines] == [True] * 3
    assert ["+" in line[:36] for line in lines] == [False, True, True]
    assert (await run("timeline", replicas[0].state)).exit_code == 2


async def test_a_directory_is_asked_by_its_index_or_without(replicas: list[Running]) -> None:
    """A row that somebody changed is refused: it is said, and the exit code is 1."""
    state = replicas[0].state
    await asyncio.to_thread(index, state)
    before = await run("events", state, "--json")
    doctor(state, "UPDATE events SET ip = 1 WHERE seq = 4")
    changed = await run("events", state, "--json")
    plain = await run("events", "--state", state, "--from-segments", "--json")
    assert (before.exit_code, changed.exit_code, plain.exit_code) == (0, 1, 0)
    assert changed.stderr.startswith("refused: here: worker-0/000000000001.jsonl, byte ")
    assert json.loads(plain.stdout) == json.loads(before.stdout)
    assert len(json.loads(changed.stdout)) == len(json.loads(before.stdout)) - 1
    assert verify(state).intact


async def test_pages_of_a_directory_follow_each_other(replicas: list[Running], tmp_path: Path) -> None:
    """By the id of the last event; of several replicas there is no such event."""
    first = json.loads((await run("events", replicas[0].state, "--limit", 2, "--json")).stdout)
    rest = json.loads((await run("events", replicas[0].state, "--after", first[-1]["id"], "--json")).stdout)
    assert [event["seq"] for event in first + rest] == list(range(first[0]["seq"], 0, -1))
    assert (await run("events", *urls(replicas, tmp_path), "--after", first[-1]["id"])).exit_code == 2


async def test_colour_is_for_terminals_that_want_it(replicas: list[Running], monkeypatch: pytest.MonkeyPatch) -> None:
    """None into a pipe, and none where NO_COLOR is set."""
    state = str(replicas[1].state)
    piped = await run("events", state)
    asked = [state, "--decision", "deny"]
    on_terminal = CliRunner().invoke
    coloured = await asyncio.to_thread(on_terminal, program, ["audit", "events", *asked], color=True)
    plain = await asyncio.to_thread(
        on_terminal, program, ["audit", "events", *asked], color=True, env={"NO_COLOR": "1"}
    )
    assert ["\x1b[" in each.stdout for each in (piped, coloured, plain)] == [False, True, False]


async def tail_of(*arguments: object, lines: int, do: Any) -> tuple[list[str], int]:
    """The first lines of a tail after which `do` was awaited, and its exit code after SIGINT."""
    command = [sys.executable, "-m", "authz", "audit", "tail", *(str(each) for each in arguments)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    found = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode()]
    await do()
    while len(found) < lines:
        found.append((await asyncio.wait_for(process.stdout.readline(), 30)).decode())
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    return found, process.returncode or 0


@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True], ids=["directory", "replicas"])
async def test_tail_shows_what_comes(replicas: list[Running], tmp_path: Path, remote: bool) -> None:
    """The last one from before, and then each as it is decided, by the filters; Ctrl-C ends it."""
    where = urls(replicas, tmp_path) if remote else [replicas[1].state]

    async def more() -> None:
        for _ in range(2):
            await replicas[1].check("GET", "/admin/users/8", token=replicas[1].token("bob", "user_basic"))
            await replicas[1].check("GET", "/memory/8", token=replicas[1].token("bob", "user_basic"))

    found, code = await tail_of(*where, "--decision", "deny", "--last", 1, "--json", lines=3, do=more)
    events = [json.loads(line) for line in found]
    assert [(event["decision"], event["route"]) for event in events] == [("deny", "/admin/users/{id}")] * 3
    assert [event.get("instance") for event in events] == [name(replicas[1]) if remote else None] * 3
    assert code == 130


async def test_a_tail_of_nothing_is_exit_3(tmp_path: Path) -> None:
    """There is no ledger, or no replica."""
    for where in ([tmp_path / "nothing"], ["--url", "http://127.0.0.1:9"]):
        result = await run("tail", *where)
        assert (result.exit_code, "could not find out" in result.stderr) == (3, True), result.stderr
