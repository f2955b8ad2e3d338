"""Running sidecars with the example policies, built by `authz policy build` as a policy's owner would."""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.authzen.vectors import Answer
from tests.conftest import ROOT
from tests.processes import Sidecar, sidecar

SECRET = "a-pep-that-is-known"

_PATIENT = {"AUTHZ_POLICY__DEADLINE_SECONDS": "1"}
"""A busy machine may well leave a sidecar waiting for longer than one evaluation may take."""

Serve = Callable[..., "Pdp"]


class Pdp:
    """A sidecar with one of the example policies; `bearer`: its caller has to show a secret."""

    def __init__(self, running: Sidecar, bearer: str | None) -> None:
        self.running = running
        self._bearer = bearer

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, secret: str | None = None
    ) -> Answer:
        """One request, with the caller's secret unless another one is given (empty: none)."""
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"Content-Type": "application/json", **(headers or {})}
        shown = self._bearer if secret is None else secret
        if shown:
            fields["Authorization"] = f"Bearer {shown}"
        request = urllib.request.Request(f"{self.running.decision}{path}", data, fields, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Answer(response.status, _lowered(response.headers), response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, _lowered(refused.headers), refused.read())

    def post(self, path: str, body: Any, **options: Any) -> Any:
        """The document of a 200 answer."""
        answer = self.send("POST", path, body, **options)
        assert answer.status == 200, answer
        return answer.document


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(scope="session")
def built(opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Build a folder of Rego with the command, once."""
    bundles: dict[Path, Path] = {}

    def build(source: Path) -> Path:
        if source not in bundles:
            out = tmp_path_factory.mktemp("bundles") / f"{source.name}.tar.gz"
            environment = {**os.environ, "PATH": f"{opa_binary.parent}{os.pathsep}{os.environ['PATH']}"}
            command = [sys.executable, "-m", "authz", "policy", "build", str(source), "-o", str(out)]
            subprocess.run(command, env=environment, check=True, capture_output=True, cwd=ROOT)
            bundles[source] = out
        return bundles[source]

    return build


@pytest.fixture(scope="session", params=["embedded", "opa"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def serve(
    built: Callable[[Path], Path], engine: str, opa_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """A sidecar with a policy, started once for all who ask for the same."""
    running: dict[tuple[Path, bool], Pdp] = {}
    with contextlib.ExitStack() as stack:

        def started(source: Path, *, bearer: bool = False) -> Pdp:
            key = (source, bearer)
            if key not in running:
                directory = tmp_path_factory.mktemp(source.name)
                arguments = ["--dev", "--policy", str(built(source)), "--engine", engine]
                environment = dict(_PATIENT)
                if engine == "opa":
                    environment |= {"AUTHZ_OPA__PROGRAM": str(opa_binary), "AUTHZ_OPA__DEADLINE_SECONDS": "1"}
                if bearer:
                    arguments += ["--config", str(_config(directory))]
                process = stack.enter_context(sidecar(directory / "state", *arguments, environment=environment))
                running[key] = Pdp(process, SECRET if bearer else None)
            return running[key]

        yield started


def _config(directory: Path) -> Path:
    """A caller that is known by its secret alone, and may assert."""
    import hashlib

    path = directory / "authz.toml"
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    path.write_text(
        f'[[callers]]\nname = "pep"\nvia = "bearer"\ntrusted_to_assert = true\ntoken_sha256 = "{digest}"\n'
        f'[authzen]\nidentifier = "https://pdp.example/tenant1"\n'
    )
    return path
