"""Runs the `run:` steps of a workflow's job in a directory, as a runner of GitHub Actions does."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"], "python": [sys.executable]}


class Done(NamedTuple):
    """A step that was run: its exit code and all that it said."""

    code: int
    said: str


def read(path: Path) -> dict[Any, Any]:
    """The workflow. YAML takes its key `on` for a boolean."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


class Job:
    """One run of one job. `context`: what expressions may name; `given`: steps that are taken to have succeeded."""

    def __init__(self, job: Mapping[str, Any], room: Path, context: Mapping[str, str], given: tuple[str, ...]) -> None:
        self.done: dict[str, Done] = {}
        self.outcomes = dict.fromkeys(given, "success")
        self._job, self._room, self._context, self._given = job, room, context, given

    def run(self, environment: Mapping[str, str]) -> None:
        """Run all steps that have commands, but for the given ones."""
        shared = {**environment, **self._resolved(self._job.get("env", {}))}
        for number, step in enumerate(self._job["steps"]):
            name = str(step.get("id", step.get("name", number)))
            if "run" in step and name not in self._given:
                self.outcomes[name] = self._step(name, step, shared)

    def _step(self, name: str, step: Mapping[str, Any], shared: Mapping[str, str]) -> str:
        if not self._is_wanted(step.get("if")):
            return "skipped"
        shell = step.get("shell", self._job.get("defaults", {}).get("run", {}).get("shell"))
        script = self._room.parent / f"{name}.script"
        script.write_text(step["run"])
        environment = {**shared, **self._resolved(step.get("env", {}))}
        done = subprocess.run(
            [*_SHELLS[shell], str(script)], cwd=self._room, env=environment, capture_output=True, text=True, check=False
        )
        self.done[name] = Done(done.returncode, done.stdout + done.stderr)
        return "failure" if done.returncode else "success"

    def _is_wanted(self, condition: str | None) -> bool:
        if condition is None:
            return "failure" not in self.outcomes.values()
        (expression,) = _EXPRESSION.findall(condition)
        return all(self._holds(part.strip()) for part in expression.split("&&"))

    def _holds(self, part: str) -> bool:
        if part == "!cancelled()":
            return True
        if hashed := re.fullmatch(r"hashFiles\('(.+)'\) != ''", part):
            return (self._room / hashed[1]).exists()
        compared = re.fullmatch(r"steps\.(\w+)\.outcome == '(\w+)'", part)
        assert compared is not None, part
        return self.outcomes.get(compared[1]) == compared[2]

    def _resolved(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: _EXPRESSION.sub(self._value, text) for name, text in environment.items()}

    def _value(self, found: re.Match[str]) -> str:
        step = re.fullmatch(r"steps\.(\w+)\.outcome", found[1])
        return self.outcomes.get(step[1], "") if step else self._context[found[1]]


def plain_environment(tools: Path, **more: str) -> dict[str, str]:
    """What a runner's shell has: these tools first on the path, and this checkout's package."""
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
        "HOME": str(tools),
        **more,
    }
