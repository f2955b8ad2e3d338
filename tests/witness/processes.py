"""`authz audit witness` as a process, and a plain client for it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path

import msgspec

from authz.tlog import CosignerKey
from tests.processes import close

from .logs import SIGNER


class WitnessProcess:
    """A running witness; `url` is where it listens, `key` what checks its cosignatures."""

    def __init__(self, process: "subprocess.Popen[str]", stderr: Path) -> None:
        self.process = process
        self.stderr_file = stderr
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise AssertionError(f"authz audit witness did not start: {stderr.read_text()}")
        said = msgspec.json.decode(first)
        self.url: str = said["listening"]["witness"]
        self.key = CosignerKey.read(said["vkey"])

    def ask(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of one `add-checkpoint`. Raises OSError or HTTPException when it dies over it."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request("POST", "/add-checkpoint", body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def logs(self) -> list[dict[str, object]]:
        """What it has written to standard error so far."""
        return [msgspec.json.decode(line) for line in self.stderr_file.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and whatever traces it; returns the exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def witness_process(
    state: Path, *arguments: str, logs: Sequence[str] = (str(SIGNER.verifier),), under: Sequence[str] = ()
) -> Iterator[WitnessProcess]:
    """A witness on a free port, in a process group of its own; `under` is a program that runs it."""
    command = [*under, sys.executable, "-m", "authz", "audit", "witness", "--state", str(state), *arguments]
    if "--listen" not in arguments:
        command += ["--listen", "127.0.0.1:0"]
    for each in logs:
        command += ["--log", each]
    stderr = state.with_name(f"{state.name}.stderr")
    with stderr.open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True, cwd=Path.cwd()
        )
    try:
        yield WitnessProcess(process, stderr)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        close(process.stdout)
