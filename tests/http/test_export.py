"""Export from a running sidecar: the same records as from its directory."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from authz.cli import program
from authz.export import remote

from .conftest import Running


async def run(*arguments: object) -> Result:
    words = ["audit", "export", *(str(argument) for argument in arguments)]
    return await asyncio.to_thread(CliRunner().invoke, program, words)


async def test_the_same_records_as_from_the_directory(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, page after page, newest first; the next run has what came since and nothing twice."""
    monkeypatch.setattr(remote, "_PAGE", 7)
    (tmp_path / "token").write_text(running.token("root", "admin"))
    remotely = ("--url", running.admin, "--token-file", tmp_path / "token", "--cursor", tmp_path / "cursor")
    for number in range(20):
        await running.check("GET", f"/memory/{number}", token=running.token("alice", "user_basic"))
    first = await run("-o", tmp_path / "first", *remotely, "--type", "auth.scope_granted")
    for number in range(5):
        await running.check("GET", f"/memory/{number}", token=running.token("alice", "user_basic"))
    second = await run("-o", tmp_path / "second", *remotely, "--type", "auth.scope_granted")
    local = await run("-o", tmp_path / "local", "--state", running.state, "--type", "auth.scope_granted")
    assert [each.exit_code for each in (first, second, local)] == [0, 0, 0]
    lines = [(tmp_path / name).read_bytes().splitlines() for name in ("first", "second", "local")]
    assert [len(each) for each in lines] == [20, 5, 25]
    assert (lines[1] + lines[0])[::-1] == lines[2]


async def test_records_that_speak_of_a_stream_are_exported_as_they_are(running: Running, tmp_path: Path) -> None:
    """Without a filter too: what a record itself says of a stream is neither lost nor taken for the one it lies in."""
    (tmp_path / "token").write_text(running.token("root", "admin"))
    await running.check("GET", "/memory/1", token=running.token("alice", "user_basic"))
    local = await run("-o", tmp_path / "local", "--state", running.state)
    there = await run("-o", tmp_path / "there", "--url", running.admin, "--token-file", tmp_path / "token")
    opened = await run("-o", tmp_path / "opened", "--state", running.state, "--type", "audit.segment_open")
    assert [each.exit_code for each in (local, there, opened)] == [0, 0, 0]
    assert (tmp_path / "opened").read_bytes()
    assert set((tmp_path / "local").read_bytes().splitlines()) <= set((tmp_path / "there").read_bytes().splitlines())


async def test_what_a_sidecar_refuses_is_said(running: Running, tmp_path: Path) -> None:
    """Exit 3 without the right to read, or when nobody answers; nothing is written."""
    refused = await run("-o", tmp_path / "all", "--url", running.admin)
    gone = await run("-o", tmp_path / "all", "--url", "http://127.0.0.1:1")
    assert [(each.exit_code, each.stderr[:40]) for each in (refused, gone)] == [
        (3, f"could not find out: {running.admin}"[:40]),
        (3, "could not find out: http://127.0.0.1:1: "[:40]),
    ]
    assert list(tmp_path.glob("all*")) == []


async def test_a_clear_id_is_searched_under_every_key(running: Running, tmp_path: Path) -> None:
    """A subject may be given clear: the key is in the directory, and at the sidecar."""
    (tmp_path / "token").write_text(running.token("root", "admin"))
    await running.check("GET", "/memory/1", token=running.token("alice", "user_basic"))
    await running.check("GET", "/memory/1", token=running.token("bob", "user_basic"))
    here = await run("-o", tmp_path / "here", "--state", running.state, "--subject", "alice")
    there = await run(
        "-o", tmp_path / "there", "--url", running.admin, "--token-file", tmp_path / "token", "--subject", "alice"
    )
    [line] = (tmp_path / "here").read_bytes().splitlines()
    assert (here.exit_code, there.exit_code, json.loads(line)["route"]) == (0, 0, "/memory/{id}")
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
