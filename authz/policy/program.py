"""The `opa` program at work on a directory of sources."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from authz.bundle import Opa
from authz.policy.builtins import NATIVE
from authz.policy.errors import BuildError, Problem

_TIMEOUT_SECONDS = 300
_PLACED = re.compile(r"^(?:error: )?(?P<file>[^\s:]+):(?P<line>\d+): (?P<text>.*)$")
_UNKNOWN_FUNCTION = re.compile(r"undefined function (\S+)$")


class Workbench:
    """Runs `opa` inside one directory: what it builds depends on how it is told where the sources are."""

    def __init__(self, opa: Opa, room: Path) -> None:
        """Lay out the tools in `room`; the sources go to `room/sources`. Raises BuildError."""
        self.sources = room / "sources"
        self.sources.mkdir()
        self._opa = opa
        self._room = room
        capabilities = json.loads(self._run("capabilities", "--current"))
        self._builtins = {builtin["name"] for builtin in capabilities["builtins"]}
        capabilities["builtins"] = [builtin for builtin in capabilities["builtins"] if builtin["name"] in NATIVE]
        (room / "capabilities.json").write_text(json.dumps(capabilities))

    def check(self, input_schema: bytes | None) -> None:
        """Compile strictly, with nothing but the guest's builtins. Raises BuildError."""
        options = ["--strict", "--max-errors", "0", "--format", "json", "--capabilities", "../capabilities.json"]
        if input_schema is not None:
            (self._room / "input.json").write_bytes(input_schema)
            options += ["--schema", "../input.json"]
        self._run("check", *options, "--bundle", ".")

    def check_tests(self, input_schema: bytes | None) -> None:
        """Compile strictly, tests and all, which may use every builtin there is. Raises BuildError."""
        options = ["--strict", "--max-errors", "0", "--format", "json"]
        if input_schema is not None:
            (self._room / "input.json").write_bytes(input_schema)
            options += ["--schema", "../input.json"]
        self._run("check", *options, "--bundle", ".")

    def test(self, *options: str) -> tuple[Any, bool]:
        """The document of `opa test`, and whether it was content. Raises BuildError when it gave no document."""
        done = self._done("test", "--format", "json", "--timeout", f"{_TIMEOUT_SECONDS}s", *options, "--bundle", ".")
        try:
            return json.loads(done.stdout), done.returncode == 0
        except ValueError:
            raise BuildError(self._problems(done.stdout, done.stderr)) from None

    def value(self, query: str) -> Any:
        """The value of a query over the sources, or None when it is undefined. Raises BuildError."""
        answer = json.loads(self._run("eval", "--format", "json", "--bundle", ".", query))
        results = answer.get("result", [])
        return results[0]["expressions"][0]["value"] if results else None

    def build(self, target: str, revision: str, entrypoints: tuple[str, ...] = ()) -> bytes:
        """The archive of `opa build`, never optimised beyond -O0: more is slower in the guest. Raises BuildError."""
        named = [option for entrypoint in entrypoints for option in ("--entrypoint", entrypoint)]
        # A rule that refers to an entrypoint would become one too, and a function cannot.
        options = ["--target", target, "--optimize", "0", "--prune-unused", "--revision", revision]
        options += ["--capabilities", "../capabilities.json", "--output", "../built"]
        self._run("build", *options, *named, "--bundle", ".")
        return (self._room / "built").read_bytes()

    def _run(self, *arguments: str) -> str:
        done = self._done(*arguments)
        if done.returncode != 0:
            raise BuildError(self._problems(done.stdout, done.stderr))
        return done.stdout

    def _done(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self._opa.path), *arguments]
        try:
            return subprocess.run(  # noqa: S603
                command, cwd=self.sources, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError([Problem(".", 1, f"opa {arguments[0]} did not finish: {error}")]) from error

    def _problems(self, stdout: str, stderr: str) -> list[Problem]:
        for text in (stderr, stdout):
            try:
                report = json.loads(text)
            except ValueError:
                continue
            return [self._located(error) for error in report["errors"]]
        lines = [line for line in (stdout + stderr).splitlines() if line.strip()]
        placed = [Problem(m["file"], int(m["line"]), m["text"]) for line in lines if (m := _PLACED.match(line))]
        return placed or [Problem(".", 1, "opa: " + " ".join(line.strip() for line in lines))]

    def _located(self, error: dict[str, Any]) -> Problem:
        location = error.get("location") or {}
        message = error["message"].replace("\n", " ")
        unknown = _UNKNOWN_FUNCTION.search(error["message"])
        if unknown and unknown.group(1) in self._builtins:
            message = f"builtin {unknown.group(1)} is not compiled into the Wasm guest (use one that is, or the input)"
        return Problem(location.get("file") or ".", location.get("row") or 1, message)
