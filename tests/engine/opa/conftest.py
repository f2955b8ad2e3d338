"""A real OPA server as a process, and the engine on it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authz.core import Catalogue, PolicyDecision, read_catalogue
from authz.engine.opa import OpaClient, OpaPolicy, OpaServer, Place
from tests.processes import wait_for

POLICIES = Path(__file__).parents[1] / "policies"
REVISION = "0123456789abcdef"


class Opa:
    """`opa run --server` on a Unix socket, with a folder of Rego as a bundle of one revision."""

    def __init__(self, binary: Path, sources: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        # A socket's path may have 108 bytes, which pytest's directories have already.
        self.directory = Path(tempfile.mkdtemp(prefix="opa-"))
        self.socket = self.directory / "s"
        self.bundle = self.directory / "bundle"
        shutil.copytree(sources, self.bundle)
        self.revise(REVISION)
        self._command = [str(binary), "run", "--server", "--addr", f"unix://{self.socket}", "--log-level", "error"]
        self._command += ["--skip-version-check", *arguments, "--bundle", str(self.bundle)]
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def revise(self, revision: str) -> None:
        """Give its bundle another revision, for the next start."""
        manifest = {"revision": revision, "roots": ["authz", "roles", "routes"]}
        (self.bundle / ".manifest").write_bytes(msgspec.json.encode(manifest))

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)
        wait_for("a healthy OPA", lambda: b" 200 " in self.raw(b"GET /health HTTP/1.0\r\n\r\n"))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a SIGKILL is waited for."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def raw(self, request: bytes) -> bytes:
        """Bytes in, bytes out; empty while nobody listens."""
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(request)
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
            return b"".join(pieces)
        return b""

    def requests(self) -> int:
        """How many questions it has been asked over HTTP, by its own count."""
        lines = self.raw(b"GET /metrics HTTP/1.0\r\n\r\n").decode().splitlines()
        counts = (line for line in lines if line.startswith("http_request_duration_seconds_count"))
        return sum(int(line.rpartition(" ")[2]) for line in counts if 'handler="v1/data"' in line)

    def catalogue(self) -> Catalogue:
        """What its policy knows, as a bundle's own module would say it."""
        answer = self.raw(b"POST /v1/data/authz/catalogue HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        body = answer.partition(b"\r\n\r\n")[2]
        return read_catalogue(
            b'[{"result":%b}]' % bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["result"])
        )

    def stop(self) -> None:
        """End it and remove what it had."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


StartOpa = Callable[..., Opa]


@pytest.fixture
def start_opa(opa_binary: Path) -> Iterator[StartOpa]:
    """Starts servers of a test's own, by the name of their policy, and ends them."""
    started: list[Opa] = []

    def start(policy: str = "obedient", *arguments: str, environment: dict[str, str] | None = None) -> Opa:
        opa = Opa(opa_binary, POLICIES / policy, *arguments, environment=environment)
        started.append(opa)
        opa.start()
        return opa

    yield start
    for opa in started:
        opa.stop()


@pytest.fixture(scope="session")
def shared_opas(opa_binary: Path) -> Iterator[Callable[[str], Opa]]:
    """One server for each policy, for tests that do it no harm."""
    running: dict[str, Opa] = {}

    def shared(policy: str) -> Opa:
        if policy not in running:
            running[policy] = Opa(opa_binary, POLICIES / policy)
            running[policy].start()
        return running[policy]

    yield shared
    for opa in running.values():
        opa.stop()


class Asked:
    """The engine on a server: the policy, the server behind it, and what was followed."""

    def __init__(self, opa: Opa, server: OpaServer, policy: OpaPolicy, followed: list[str]) -> None:
        self.opa, self.server, self.policy, self.followed = opa, server, policy, followed


Ask = Callable[..., Awaitable[Asked]]


@pytest.fixture
async def ask(shared_opas: Callable[[str], Opa]) -> AsyncIterator[Ask]:
    """The engine on a server, by the name of its policy or on the one given, when it answers.

    The deadline is a long one unless a test is about it: a busy machine may well leave a test waiting for 250 ms.
    """
    servers: list[OpaServer] = []

    async def asked(
        opa: Opa | str = "obedient",
        *,
        entrypoints: Sequence[str] = ("authz/decision", "authz/decisions", "authz/explain", "authz/catalogue"),
        place: Place | None = None,
        deadline_seconds: float = 10.0,
        batch_checks: int = 64,
        wait: bool = True,
        **client: Any,
    ) -> Asked:
        opa = await asyncio.to_thread(shared_opas, opa) if isinstance(opa, str) else opa
        catalogue = await asyncio.to_thread(opa.catalogue) if wait else Catalogue(scopes=(), roles=())
        place = place or Place("localhost", 8181, socket=opa.socket)
        server = OpaServer(OpaClient(place, **client), deadline_seconds=deadline_seconds, batch_checks=batch_checks)
        servers.append(server)
        followed: list[str] = []
        server.followed = lambda policy: followed.append(policy.revision)
        policy = server.know(REVISION, catalogue, entrypoints)
        answers = await server.start(10.0 if wait else 0.0)
        assert answers is wait, server.check()
        return Asked(opa, server, policy, followed)

    yield asked
    for server in servers:
        await server.close()


def allow(number: int) -> dict[str, Any]:
    """An answer that the obedient policy is told to give."""
    return {"allow": True, "reason": "scope_granted", "scopes": [f"scope:{number}"]}


def allowed(number: int) -> PolicyDecision:
    """The same as it is read."""
    return PolicyDecision(allow=True, reason="scope_granted", scopes=(f"scope:{number}",))


def question(**members: Any) -> bytes:
    """A check for the obedient policy."""
    return msgspec.json.encode(members)


def questions(count: int) -> list[bytes]:
    """So many, each with an answer of its own."""
    return [question(answer=allow(number)) for number in range(count)]


class Lag:
    """How late the event loop was at worst: what a busy machine adds to every time that is measured."""

    def __init__(self) -> None:
        self.worst_seconds = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self.worst_seconds = max(self.worst_seconds, time.monotonic() - due)

    async def stop(self) -> float:
        """The worst."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.worst_seconds
