"""The commands of the troubleshooting page and of the runbooks do what these say, as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import ROOT
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = [ROOT / "docs" / "troubleshooting.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]


class Command(NamedTuple):
    """One command as it is written, and the exit code that is promised."""

    text: str
    code: int


def commands() -> list[Command]:
    """Every different command of all pages."""
    blocks = [block for page in PAGES for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.S | re.M)]
    found = {}
    for line in (line for block in blocks for line in block.splitlines() if line):
        text, _, promise = line.partition("   # exit ")
        found[text] = int(promise[0]) if promise else 0
    return [Command(text, code) for text, code in found.items()]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sidecar, "subprocess.Popen[str]"]]:
    """A shell beside a sidecar that has denied and allowed something; `authz` is on its PATH."""
    place = tmp_path_factory.mktemp("shell")
    program = place / "bin" / "authz"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m authz "$@"\n')
    program.chmod(0o755)
    with sidecar(place / "state") as running:
        token = running.token("alice", "user_basic")
        ids = [asked(running, path, token) for path in ("/memory", "/admin/config")]
        environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "ID": ids[1]}
        process = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        yield running, process
        process.kill()
        process.communicate()


def asked(running: Sidecar, path: str, token: str) -> str:
    """Ask; the decision's id."""
    request = Request(f"{running.decision}/check/envoy{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urlopen(request, timeout=20) as answer:
            return str(answer.headers["X-Decision-Id"])
    except HTTPError as denied:
        with denied:
            return str(denied.headers["X-Decision-Id"])


def here(text: str, running: Sidecar) -> str:
    """The command for this sidecar."""
    for shipped, found in (
        ("http://127.0.0.1:8081", running.admin),
        ("http://127.0.0.1:8080", running.decision),
        ("bundles/default.tar.gz", str(ROOT / "bundles" / "default.tar.gz")),
        (".state", str(running.state)),
    ):
        text = text.replace(shipped, found)
    return text


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.text)
def test_a_command_does_what_the_page_says(shell: tuple[Sidecar, "subprocess.Popen[str]"], command: Command) -> None:
    """It runs as it stands, and exits as promised."""
    running, process = shell
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{here(command.text, running)}\ncode=$?; echo; echo exit-code:$code\n")
    process.stdin.flush()
    lines: list[str] = []
    while not (lines and lines[-1].startswith("exit-code:")):
        line = process.stdout.readline()
        assert line, lines
        lines.append(line)
    assert int(lines[-1].removeprefix("exit-code:")) == command.code, "".join(lines)


def test_the_three_sections_of_the_mission() -> None:
    """SLO checks in CI, audit integrity, scopes; each with commands."""
    text = PAGES[0].read_text()
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    assert [(section.splitlines()[0], "```sh" in section) for section in sections] == [
        ("SLO checks failing in CI", True),
        ("Audit integrity failures", True),
        ("Scope authorization", True),
    ]
