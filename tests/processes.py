"""Real processes for tests: the sidecar, and whatever stands before and behind it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import msgspec

ROOT = Path(__file__).parent.parent


class Sidecar:
    """A running `authz serve`; `decision` and `admin` are base URLs."""

    def __init__(self, process: "subprocess.Popen[str]", state: Path, stderr: Path) -> None:
        self.process = process
        self.state = state
        self.stderr_file = stderr
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise AssertionError(f"authz serve did not start: {stderr.read_text()}")
        places = msgspec.json.decode(first)["listening"]
        self.decision: str = places["decision"]
        self.admin: str = places["admin"]
        self.envoy_grpc: str = places.get("envoy_grpc", "")

    @property
    def port(self) -> int:
        """Of the decision listener."""
        return int(self.decision.rpartition(":")[2])

    def token(self, sub: str = "alice", *roles: str, **options: str) -> str:
        """A development token."""
        command = [sys.executable, "-m", "authz", "token", "--state", str(self.state), "--sub", sub]
        for role in roles:
            command += ["--role", role]
        for name, value in options.items():
            command += [f"--{name}", value]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def metrics(self) -> dict[str, float]:
        """Every sample, by its name with labels."""
        with urlopen(f"{self.admin}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def logs(self) -> str:
        """What it has written to standard error so far."""
        return self.stderr_file.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def sidecar(state: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Sidecar]:
    """A sidecar on free ports; development mode unless arguments say otherwise."""
    command = [sys.executable, "-m", "authz", "serve", "--state", str(state)]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *(arguments or ("--dev",))]
    stderr = state.with_name(f"{state.name}.stderr")
    with stderr.open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        yield Sidecar(process, state, stderr)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        close(process.stdout)


def close(stream: IO[Any] | None) -> None:
    """Close a pipe, if there is one."""
    if stream is not None:
        stream.close()


def wait_for(what: str, ready: Any, seconds: float = 20.0) -> Any:
    """Poll until `ready()` is truthy and return that; fail with `what` when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = ready()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")
