"""`authz status`: how running replicas stand, side by side."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz import __version__, policy
from authz.cli import program
from tests.http.conftest import Running, Start

ROOT = Path(__file__).parents[2]


async def run(*arguments: str) -> Result:
    """One command, beside the sidecars."""
    return await asyncio.to_thread(CliRunner().invoke, program, ["status", *arguments])


async def ready(running: Running) -> None:
    """Wait until it is."""
    async with asyncio.timeout(10):
        while (await running.send("GET", f"{running.admin}/readyz")).status != 200:
            await asyncio.sleep(0.02)


async def test_a_replica_says_how_it_stands(running: Running) -> None:
    """Version, revision, ledger, keys and disk in one row; nobody needs a token for that."""
    await ready(running)
    table, as_json = await run("--url", running.admin), await run("--url", running.admin, "--json")
    revision = running.pdp.policies.active.revision
    headings, row = table.stdout.splitlines()
    found = json.loads(as_json.stdout)

    assert (table.exit_code, as_json.exit_code, table.stderr) == (0, 0, "")
    assert headings.split() == ["replica", "ready", "version", "revision", "ledger", "keys", "disk"]
    assert row.split()[:6] == [running.admin, "yes", __version__, revision, "ok", "ok"]
    assert (found["revisions"], found["replicas"][0]["disk"].endswith(" bytes free")) == ([revision], True)


async def test_a_replica_in_trouble_says_where(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked all the same, and what is not well stands in its row."""
    await ready(running)
    monkeypatch.setattr(type(running.pdp._parts.writer), "failure", property(lambda _: "no space left"))
    row = json.loads((await run("--url", running.admin, "--json")).stdout)["replicas"][0]

    assert (row["ready"], row["ledger"], row["keys"]) == ("no: ledger", "ledger: no space left", "ok")


async def test_replicas_of_two_minds_are_exit_1(start: Start, opa_binary: Path, tmp_path: Path) -> None:
    """Both revisions are named."""
    other = tmp_path / "other.tar.gz"
    await asyncio.to_thread(policy.build, ROOT / "examples" / "certification", other, opa_binary)
    found = [await start(), await start(state=str(tmp_path / "other"), **{"policy.source": str(other)})]
    result = await run(*(part for each in found for part in ("--url", each.admin)))
    revisions = sorted(each.pdp.policies.active.revision for each in found)

    assert (result.exit_code, result.stderr) == (1, f"the revisions differ: {', '.join(revisions)}\n")


async def test_a_replica_that_does_not_answer_is_exit_3(running: Running) -> None:
    """It is missed by name, and the others are shown; what answers there without being one is missed too."""
    result = await run("--url", running.admin, "--url", "http://127.0.0.1:1", "--url", running.decision)

    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 4)
    assert [line.split()[:2] for line in result.stderr.splitlines()] == [
        ["missed:", "http://127.0.0.1:1:"],
        ["missed:", f"{running.decision}:"],
    ]
