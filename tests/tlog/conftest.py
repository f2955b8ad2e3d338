"""Go's own transparency log packages as a program to ask: built once a session from what comes with Go."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authz.tlog import write_base64
from tests.conftest import ROOT, missing

SUMDB = Path("src", "cmd", "vendor", "golang.org", "x", "mod", "sumdb")
OFFLINE = {"GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOWORK": "off"}


class Answer(msgspec.Struct):
    """What Go says; `error` is empty when it agrees."""

    error: str
    note: str
    text: str
    verified: list[str] | None
    unverified: list[str] | None
    proof: list[str] | None


class Oracle:
    """Asks any number of questions in one run of the program."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, questions: list[dict[str, Any]]) -> list[Answer]:
        """One answer to each. Hashes and notes in questions are bytes."""
        asked = b"\n".join(msgspec.json.encode(one) for one in questions)
        done = subprocess.run([self._program], input=asked, capture_output=True, check=True)
        answers = [msgspec.json.decode(line, type=Answer) for line in done.stdout.splitlines()]
        assert len(answers) == len(questions)
        return answers

    def errors(self, questions: list[dict[str, Any]]) -> list[str]:
        """What Go finds wrong, one string for each question."""
        return [answer.error for answer in self.ask(questions)]

    def proofs(self, questions: list[dict[str, Any]]) -> list[list[str]]:
        """The proofs that Go makes, their hashes in base64."""
        answers = self.ask(questions)
        assert [answer.error for answer in answers] == [""] * len(answers)
        return [answer.proof or [] for answer in answers]


def base64_of(proof: list[bytes]) -> list[str]:
    """A proof as Go writes it."""
    return [write_base64(one) for one in proof]


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The program, built in a throw-away module around the packages in Go's own source tree, without network."""
    found = subprocess.run(
        [sys.executable, ROOT / "tools" / "provision.py", "go"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        missing(f"Go ({found.stderr.strip()})")
    go = found.stdout.strip()
    module = tmp_path_factory.mktemp("oracle")
    environment = {"HOME": str(module), **os.environ, **OFFLINE}
    said = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True, env=environment)
    packages = Path(said.stdout.strip()) / SUMDB
    if not packages.is_dir():
        missing(f"{packages}, which comes with Go")
    for name in ("note", "tlog"):
        shutil.copytree(packages / name, module / "sumdb" / name)
    (module / "go.mod").write_text("module golang.org/x/mod\n\ngo 1.26\n")
    shutil.copy(Path(__file__).parent / "oracle" / "main.go", module)
    built = subprocess.run(
        [go, "build", "-o", module / "oracle", "."],
        cwd=module,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return Oracle(module / "oracle")
