"""docs/policy-guide.md does what it says: its files are written, its commands run in order, their output compared."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, missing

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = ROOT / "docs" / "policy-guide.md"
SECONDS = 60
"""Until what a sidecar does by itself has to be seen."""

VARIABLE = (
    (r"\b[0-9a-f]{64}\b", "SHA256"),
    (r"\b[0-9a-f]{16}\b", "REVISION"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\bh1:[0-9a-f]+:[\w-]{22}", "PSEUDONYM"),
    (r"sequence([ =])\d+", r"sequence\1N"),
    (r"OPA \d+\.\d+\.\d+", "OPA VERSION"),
    (r"\d+ s ago", "N s ago"),
    (r"golden\.yaml:\d+", "golden.yaml:N"),
)


class Block(NamedTuple):
    """A fenced block of the page."""

    language: str
    text: str


class Command(NamedTuple):
    """A command, the exit code that is promised, and what it prints; None where the page does not show it."""

    text: str
    code: int
    shown: str | None


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.S | re.M)]


def commands(block: Block) -> Iterator[Command]:
    """What stands behind each `$ ` of a block, with the lines up to the next."""
    for entry in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        line, _, shown = entry.partition("\n")
        text, _, promise = line.partition("   # exit ")
        yield Command(text, int(promise or 0), shown or None)


def fits(shown: str, said: str) -> bool:
    """Whether output is as it is shown; a line `...` stands for any lines, also none."""
    for pattern, name in VARIABLE:
        shown, said = re.sub(pattern, name, shown), re.sub(pattern, name, said)
    parts = re.split(r"^\.\.\.\n", shown, flags=re.M)
    return re.fullmatch(r"(?:.*\n)*?".join(map(re.escape, parts)), said) is not None


class Shell:
    """One shell in a directory, that keeps its variables from command to command."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=place,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, text: str) -> tuple[int, str]:
        """Run a command to its end: exit code and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\necho exit-code:$?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith("exit-code:"):
                return int(line.removeprefix("exit-code:")), "".join(lines)
            lines.append(line)
        raise AssertionError("".join(lines))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, place: Path, shell: Shell, environment: dict[str, str]) -> None:
        self._place, self._shell, self._environment = place, shell, environment
        self.served: subprocess.Popen[str] | None = None
        self._places = {"http://127.0.0.1:8081": "", "http://127.0.0.1:8080": ""}

    def follow(self, block: Block) -> None:
        """Write a file, make an edit, or run the commands."""
        if block.language == "console":
            for command in commands(block):
                self._run(command)
        elif block.language == "diff":
            subprocess.run(["git", "apply", "-"], cwd=self._place, input=block.text, text=True, check=True)
        else:
            first, _, _ = block.text.partition("\n")
            assert re.fullmatch(r"# [\w./-]+\.\w+", first), first
            file = self._place / first.removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)

    def _run(self, command: Command) -> None:
        if command.text.endswith(" &"):
            self._serve(command.text.removesuffix(" &"))
            return
        text = command.text
        for shipped, here in self._places.items():
            text = text.replace(shipped, here)
        deadline = time.monotonic() + SECONDS
        while True:
            code, said = self._shell.run(text)
            right = code == command.code and (command.shown is None or fits(command.shown, said))
            if right or not command.text.startswith("authz policy status") or time.monotonic() > deadline:
                break
        assert right, f"$ {command.text}\nexit {code}, not {command.code}\n{said}\n--- not:\n{command.shown}"

    def _serve(self, text: str) -> None:
        with (self._place / "serve.log").open("w") as log:
            self.served = subprocess.Popen(
                shlex.split(text),
                cwd=self._place,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.served.stdout is not None
        first = self.served.stdout.readline()
        assert "listening" in first, (self._place / "serve.log").read_text()
        listening = json.loads(first)["listening"]
        self._places = dict(zip(self._places, (listening["admin"], listening["decision"]), strict=True))


@contextlib.contextmanager
def reader(place: Path, opa: Path) -> Iterator[Reader]:
    """A reader in a git repository with the default policy, `authz` and `opa` on the PATH. Ports are free ones."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "authz").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m authz "$@"\n')
    (programs / "authz").chmod(0o755)
    (programs / "opa").symlink_to(opa)
    work = place / "work"
    shutil.copytree(ROOT / "policies", work / "policies")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "AUTHZ_LISTEN": "127.0.0.1:0",
        "AUTHZ_ADMIN_LISTEN": "127.0.0.1:0",
        **{f"GIT_{who}_{what}": f"a@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    for step in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *step], cwd=work, check=True, env=environment)
    shell = Shell(work, environment)
    somebody = Reader(work, shell, environment)
    try:
        yield somebody
    finally:
        shell.close()
        if somebody.served is not None:
            somebody.served.terminate()
            somebody.served.communicate(timeout=30)


def test_the_guide_can_be_followed(tmp_path: Path, opa_binary: Path) -> None:
    """From the first edit to signed, replayed, activated and rolled back: every command ends and prints as shown."""
    for program in ("git", "openssl"):
        if shutil.which(program) is None:
            missing(program)
    with reader(tmp_path, opa_binary) as somebody:
        for block in blocks():
            somebody.follow(block)


def test_the_guide_goes_all_the_way() -> None:
    """It tests, explains, compares, replays, signs, activates and rolls back, and shows what comes of each."""
    shown = {command.text.split()[2] for block in blocks() for command in commands(block) if command.shown is not None}
    assert shown >= {"test", "diff", "replay", "sign", "verify", "status", "rollback", "activate", "log"}


@pytest.mark.parametrize(
    ("shown", "said", "right"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("...\nd\n", "d\n", True),
        ("...\nd\n", "d\ne\n", False),
        ("sequence 7, 0123456789abcdef\n", "sequence 8, fedcba9876543210\n", True),
        ("revision 0123456789abcdef\n", "revision none\n", False),
    ],
)
def test_output_is_compared(shown: str, said: str, right: bool) -> None:
    """Line by line, but for what differs each time and for `...`."""
    assert fits(shown, said) is right
