"""A local OPA that is started and looked after: real processes, killed in every way."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from authz import bundle, log
from authz.config import OpaSettings
from authz.core import ConfigurationError
from authz.engine.opa import LocalEngine, OpaNotAnsweringError, local_engine
from tests.conftest import ROOT
from tests.processes import wait_for

HEALTH = b'{"action":{"name":"GET"},"resource":{"type":"route","route":"/health"}}'

pytestmark = pytest.mark.slow


@pytest.fixture
async def engine(opa_binary: Path, tmp_path: Path) -> AsyncIterator[LocalEngine]:
    """An engine of local OPAs with a long deadline."""
    settings = OpaSettings(program=str(opa_binary), deadline_seconds=5.0)
    made = await local_engine(settings, tmp_path)
    yield made
    await made.close()


def children(directory: Path) -> list[int]:
    """What this process has started with files in a directory, and not waited for."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, *_ = entry.read_text().rpartition(")")[2].split()
            if int(parent) == os.getpid() and state != "Z" and str(directory) in (entry.parent / "cmdline").read_text():
                found.append(int(entry.parent.name))
    return found


async def test_it_answers_and_goes_away(engine: LocalEngine, tmp_path: Path) -> None:
    """Loaded means answering; closed means that process, socket and bundle are gone."""
    policy = await engine.load(bundle.read_shipped())
    decision = await policy.evaluate(HEALTH)
    assert (decision.allow, decision.reason) == (True, "public_route")
    assert [check.ok for check in engine.checks()] == [True]
    assert len(children(tmp_path)) == 1
    await engine.close()
    assert children(tmp_path) == []


async def test_nobody_else_may_ask_it(engine: LocalEngine, tmp_path: Path) -> None:
    """Socket, token and bundle are this user's alone, and without the token nothing is answered."""
    policy = await engine.load(bundle.read_shipped())
    (child, _) = engine._running[policy]
    assert child.place.socket is not None
    modes = [
        stat.S_IMODE(each.stat().st_mode) for each in (child.place.socket, child.token_file, tmp_path / "opa" / "1")
    ]
    assert modes == [0o600, 0o600, 0o700]
    command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--unix-socket", str(child.place.socket)]
    done = subprocess.run(
        [*command, "-d", "{}", "http://opa/v1/data/authz/decision"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "401"
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert child.token_file.read_bytes() not in environment + Path(f"/proc/{child.pid}/cmdline").read_bytes()


async def test_one_that_dies_is_replaced(engine: LocalEngine, tmp_path: Path) -> None:
    """kill -9, twice: another one is started each time, and answers."""
    policy = await engine.load(bundle.read_shipped())
    for _ in range(2):
        [before] = children(tmp_path)
        os.kill(before, signal.SIGKILL)
        while children(tmp_path) in ([], [before]):
            await asyncio.sleep(0.01)
        while not (await policy.evaluate(HEALTH)).allow:
            await asyncio.sleep(0.01)
    assert [check.ok for check in engine.checks()] == [True]


async def test_two_policies_are_two_servers(engine: LocalEngine, tmp_path: Path) -> None:
    """A new policy is there before the old one goes: closing that one leaves the other answering."""
    first = await engine.load(bundle.read_shipped())
    second = await engine.load(bundle.read_shipped())
    assert len(children(tmp_path)) == 2
    assert [(await policy.evaluate(HEALTH)).allow for policy in (first, second)] == [True, True]
    first.close()
    while len(children(tmp_path)) == 2:
        await asyncio.sleep(0.01)
    assert (await second.evaluate(HEALTH)).allow
    assert (await first.evaluate(HEALTH)).reason == "engine_unavailable"


async def test_one_that_cannot_start_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never answers refuses the policy, says so, and nothing is left running."""
    program = tmp_path / "opa"
    program.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo "Version: 1.22.2" && exit\necho "not today" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr("authz.engine.opa.engines._START_SECONDS", 0.5)
    engine = await local_engine(OpaSettings(program=str(program)), tmp_path / "state")
    with pytest.raises(
        OpaNotAnsweringError, match="was started and gives no answers: UnixClientConnectorError at unix:"
    ):
        await engine.load(bundle.read_shipped())
    assert children(tmp_path) == []


async def test_settings_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    """What goes with `opa.url` has no meaning for a local one."""
    with pytest.raises(ConfigurationError, match=r"opa\.token_file: goes with opa\.url"):
        await local_engine(OpaSettings(token_file="x"), tmp_path)


def test_it_dies_with_a_killed_parent(opa_binary: Path, tmp_path: Path) -> None:
    """kill -9 of the service takes its OPA along: none is left that nobody looks after."""
    command = [sys.executable, "-m", "authz", "serve", "--dev", "--engine", "opa", "--state", str(tmp_path / "state")]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    environment = {**os.environ, "AUTHZ_OPA__PROGRAM": str(opa_binary), "AUTHZ_AUDIT__AUDITOR": "off"}
    with (tmp_path / "log").open("w") as errors:
        service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=ROOT)
    assert service.stdout is not None
    assert b"listening" in service.stdout.readline(), (tmp_path / "log").read_text()
    [child] = [
        int(entry.parent.name)
        for entry in Path("/proc").glob("[0-9]*/stat")
        if entry.exists() and entry.read_text().rpartition(")")[2].split()[1] == str(service.pid)
    ]
    service.kill()
    service.wait()
    service.stdout.close()

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_for("the end of its OPA", gone)


async def test_its_log_goes_through_ours(opa_binary: Path, tmp_path: Path) -> None:
    """What OPA says is a line of our log, under a logger of its own; what it was asked is not in it."""
    file = tmp_path / "log"
    with file.open("wb") as stream:
        log.configure("info", stream)
        try:
            engine = await local_engine(OpaSettings(program=str(opa_binary)), tmp_path)
            await engine.load(bundle.read_shipped())
            os.kill(children(tmp_path)[0], signal.SIGKILL)
            while b"opa_ended" not in file.read_bytes():
                await asyncio.to_thread(log.flush)
            await engine.close()
        finally:
            log.close()
    lines = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
    said = [(line["logger"], line["event"]) for line in lines]
    assert ("authz.engine", "engine_answers") in said
    [ended] = [line for line in lines if line["event"] == "opa_ended"]
    assert (ended["logger"], ended["level"], ended["code"], ended["again_in_seconds"]) == (
        "authz.opa",
        "error",
        -9,
        0.1,
    )
    assert {name for name, event in said if event == "opa_said"} <= {"authz.opa"}
