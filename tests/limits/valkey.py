"""A real Valkey or Redis, as a child process on a Unix socket."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.processes import wait_for


class Valkey:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[bytes]", path: Path) -> None:
        self.process = process
        self.path = path
        self.url = f"unix://{path}"

    def answers(self) -> bool:
        """Whether it takes commands."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
        return False


@contextlib.contextmanager
def running_valkey(directory: Path) -> Iterator[Valkey]:
    """A server of one's own, with nothing in it."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        missing("valkey-server or redis-server")
    path = directory / "v.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(directory)]
    with (directory / "valkey.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        server = Valkey(process, path)
        try:
            wait_for("Valkey", server.answers)
            yield server
        finally:
            process.kill()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A running server."""
    with running_valkey(tmp_path) as server:
        yield server
