"""The sample workflows for a repository with a policy: read, and their commands run on a changed policy."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from authz import __version__
from authz.bundle import pins
from authz.history import Fold, read_verified, write_profiles
from tests.history.workflow import Job, plain_environment, read
from tests.policy.conftest import ROOT

WORKFLOW = read(ROOT / "deploy" / "ci" / "github-actions.yml")
GITLAB = yaml.safe_load((ROOT / "deploy" / "ci" / "gitlab-ci.yml").read_text())
OURS = "<!-- authz policy -->"
GIVEN = ("install",)
MOST = 65_536


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step, with its job's name."""
    for name, job in WORKFLOW["jobs"].items():
        for step in job["steps"]:
            yield name, step


def test_nothing_of_a_pull_request_is_in_a_line_that_a_shell_reads() -> None:
    """Commands hold no expression; values come in variables, which are quoted or read by Python."""
    commands = [step["run"] for _, step in steps() if "run" in step]
    assert len(commands) == 8
    assert [command for command in commands if "${{" in command] == []
    assert [
        command for command in commands if re.search(r'[^"]\$(BASE|MAX_FLIPS)', command.replace("git:$", "$"))
    ] == []


def test_actions_are_pinned_and_rights_are_the_least() -> None:
    """Every action is named by its commit; what runs the pull request's policy may read, what comments runs nothing."""
    used = [step["uses"] for _, step in steps() if "uses" in step]
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each)] == []
    assert WORKFLOW["permissions"] == {}
    jobs = WORKFLOW["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "policy": {"contents": "read"},
        "comment": {"pull-requests": "write"},
    }
    assert [step for step in jobs["comment"]["steps"] if "checkout" in step.get("uses", "")] == []
    assert jobs["policy"]["steps"][0]["with"]["persist-credentials"] is False
    assert list(WORKFLOW[True]) == ["pull_request"]


def test_it_installs_what_this_version_is_built_with() -> None:
    """The package of this version, and the `opa` that builds the same bytes."""
    (install,) = (step["run"] for _, step in steps() if step.get("id") == "install")
    (opa,) = (step["with"]["version"] for _, step in steps() if "setup-opa" in step.get("uses", ""))
    assert f'"authz-sidecar=={__version__}"' in install
    assert opa == pins.OPA


class Repository:
    """A git repository with the shipped policy, then with a change of it."""

    def __init__(self, room: Path, opa: Path) -> None:
        self.path = room / "repository"
        self.tools = room / "tools"
        self.tools.mkdir()
        (self.tools / "opa").symlink_to(opa)
        shim = self.tools / "authz"
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m authz "$@"\n')
        shim.chmod(0o755)
        shutil.copytree(ROOT / "policies", self.path / "policies")
        (self.path / "approved.txt").touch()
        self._git("init", "-q")
        self._git("add", ".")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.test", "commit", "-qm", "base")
        self.base = self._git("rev-parse", "HEAD").strip()
        roles = self.path / "policies" / "authz" / "roles" / "data.yaml"
        roles.write_text(
            roles.read_text().replace("    - care:caregiver\n", "    - care:caregiver\n    - ai:voice\n", 1)
        )

    def run(self) -> Job:
        """The job `policy` over the working tree."""
        context = {"github.event.pull_request.base.sha": self.base}
        job = Job(WORKFLOW["jobs"]["policy"], self.path, context, GIVEN)
        job.run(plain_environment(self.tools, GITHUB_STEP_SUMMARY=str(self.tools / "summary.md")))
        return job

    def command(self, *arguments: str) -> str:
        """An `authz` command that has to succeed."""
        command = [str(self.tools / "authz"), *arguments]
        done = subprocess.run(
            command, cwd=self.path, env=plain_environment(self.tools), capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    @property
    def comment(self) -> str:
        """What would be commented."""
        return (self.path / "comment.md").read_text()

    def _git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.path, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_change_is_stopped_told_and_let_through_once_it_is_agreed_to(
    state: Path, tmp_path: Path, opa_binary: Path
) -> None:
    """Each check fails by itself and says why in the comment; with the gains approved and the matrix reviewed, none."""
    repository = Repository(tmp_path, opa_binary)
    fold = Fold()
    read_verified(fold, state)
    write_profiles(repository.path / "decided.jsonl", fold.tallies)

    job = repository.run()
    assert {name: job.outcomes[name] for name in ("build", "test", "diff", "replay")} == {
        "build": "success",
        "test": "failure",
        "diff": "failure",
        "replay": "failure",
    }, job.done
    assert [name for name, done in job.done.items() if done.code > 1] == []
    body = repository.comment
    assert body.startswith(f"{OURS}\n")
    for said in (
        "| Who gains, who loses | failure |",
        "caregiver_basic GAINS ai:voice",
        "POST /ai/voice would be allowed by ai:voice",
        "golden.yaml",
    ):
        assert said in body
    assert (tmp_path / "tools" / "summary.md").read_text() == body
    assert "<html" in (repository.path / "diff.html").read_text()
    assert "<html" in (repository.path / "matrix.html").read_text()

    repository.command("policy", "test", "policies", "--update")
    keys = repository.command("policy", "diff", f"git:{repository.base}", "policies", "--keys")
    (repository.path / "approved.txt").write_text(keys)
    (repository.path / "decided.jsonl").unlink()
    (repository.path / "replay.txt").unlink()
    again = repository.run()
    assert {name: again.outcomes[name] for name in ("build", "test", "diff", "replay")} == {
        "build": "success",
        "test": "success",
        "diff": "success",
        "replay": "skipped",
    }, again.done
    assert "caregiver_basic GAINS ai:voice" in repository.comment
    assert "| What was decided lately | skipped |" in repository.comment


def compose(room: Path, **said: str) -> str:
    """The comment that the workflow's step makes of these outputs."""
    (step,) = (step for _, step in steps() if step.get("name") == "The comment")
    for name, text in said.items():
        (room / f"{name}.txt").write_text(text)
    outcomes = dict.fromkeys(("BUILD", "TEST", "DIFF", "REPLAY"), "failure")
    environment = plain_environment(room, GITHUB_STEP_SUMMARY=str(room / "summary.md"), **outcomes)
    subprocess.run([sys.executable, "-c", step["run"]], cwd=room, env=environment, check=True)
    return (room / "comment.md").read_text()


def test_a_comment_keeps_to_the_limit(tmp_path: Path) -> None:
    """However much there is to say, the comment is taken, every fence is closed, and what is left out is counted."""
    body = compose(
        tmp_path, diff="rôle GAINS everything\n" * 20_000, replay="x" * 200_000, test="failed\n" * 9, build="b"
    )
    assert 50_000 < len(body.encode()) <= MOST
    assert body.count("```") % 2 == 0
    assert "more lines are in the artifact" in body


def test_what_a_policy_says_stays_inside_its_fence(tmp_path: Path) -> None:
    """A name with backticks, a mention or HTML in it is text and nothing else."""
    evil = "```\n@everyone <img src=x> ````\n# headline"
    body = compose(tmp_path, diff=evil)
    assert f"`````text\n{evil}\n`````\n" in body


class GitHub:
    """As much of GitHub's API as the comment takes."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = [
            {"id": number, "user": {"login": "somebody"}, "body": f"{OURS} not ours"} for number in range(130)
        ]
        self.calls: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = int(parse_qs(urlsplit(self.path).query)["page"][0])
                self._answer(outer.comments[(page - 1) * 100 : page * 100])

            def do_POST(self) -> None:
                self._write({"id": 1000, "user": {"login": "github-actions[bot]"}})

            def do_PATCH(self) -> None:
                number = int(self.path.rpartition("/")[2])
                self._write(next(each for each in outer.comments if each["id"] == number))

            def _write(self, comment: dict[str, Any]) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.calls.append((self.command, self.path))
                comment.update(sent)
                if comment not in outer.comments:
                    outer.comments.append(comment)
                self._answer(comment)

            def _answer(self, document: Any) -> None:
                assert self.headers["Authorization"] == "Bearer secret"
                data = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments: Any) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def github() -> Iterator[GitHub]:
    """The API, until the test ends."""
    found = GitHub()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def test_the_comment_is_renewed(github: GitHub, tmp_path: Path) -> None:
    """The first run comments, the next ones write over that comment, whoever else begins one the same way."""
    room = tmp_path / "room"
    room.mkdir()
    context = {"github.token": "secret", "github.event.pull_request.number": "7"}
    environment = plain_environment(tmp_path, GITHUB_API_URL=github.url, GITHUB_REPOSITORY="team/policies")
    for text in ("one", "two"):
        (room / "comment.md").write_text(f"{OURS}\n{text}\n")
        job = Job(WORKFLOW["jobs"]["comment"], room, context, ())
        job.run(environment)
        assert list(job.outcomes.values()) == ["success"], job.done
    assert github.calls == [
        ("POST", "/repos/team/policies/issues/7/comments"),
        ("PATCH", "/repos/team/policies/issues/comments/1000"),
    ]
    assert [each["body"] for each in github.comments if each["id"] == 1000] == [f"{OURS}\ntwo\n"]
    assert len(github.comments) == 131


@pytest.mark.slow
def test_the_sample_for_gitlab_runs(tmp_path: Path, opa_binary: Path) -> None:
    """Its difference fails on a gain that nobody agreed to, and leaves both pages."""
    repository = Repository(tmp_path, opa_binary)
    environment = plain_environment(repository.tools, CI_MERGE_REQUEST_DIFF_BASE_SHA=repository.base)
    job = GITLAB["policy difference"]
    codes = [
        subprocess.run(["bash", "-ec", line], cwd=repository.path, env=environment, capture_output=True, check=False)
        for line in job["script"]
    ]
    assert [done.returncode for done in codes] == [0, 1], codes
    assert all((repository.path / page).is_file() for page in job["artifacts"]["paths"])
    assert {name for name, each in GITLAB.items() if each.get("extends") == ".policy"} == {
        "policy tests",
        "policy difference",
        "policy replay",
    }
