"""The API behind a gateway: it answers 200 to everything and keeps, byte for byte, what reached it."""

import base64
import hashlib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


class Seen(NamedTuple):
    """One request as it reached the upstream: nothing decoded, nothing merged."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for field, value in self.fields if field == name.lower()]

    def one(self, name: str) -> str | None:
        """The value of a header that is there once at most."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None


class Upstream(socketserver.ThreadingTCPServer):
    """A running upstream; `seen` may be cleared at any time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.seen: list[Seen] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: a neighbour that is killed in the middle is what some tests are about."""


class _Connection(socketserver.StreamRequestHandler):
    """Keep-alive HTTP/1.1; a WebSocket handshake is accepted, and what follows it is echoed."""

    def handle(self) -> None:
        """Answer until the gateway hangs up."""
        server = self.server
        assert isinstance(server, Upstream)
        while (seen := self._read()) is not None:
            server.seen.append(seen)
            if "websocket" in seen.values("upgrade"):
                self._echo(seen.one("sec-websocket-key") or "")
                return
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if seen.method == "HEAD" else b"ok")
            )

    def _read(self) -> Seen | None:
        line = self.rfile.readline()
        if not line:
            return None
        method, _, rest = line.decode("latin-1").rstrip("\r\n").partition(" ")
        fields = []
        while (field := self.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = field.partition(":")
            fields.append((name.lower(), value.strip()))
        seen = Seen(method, rest.rpartition(" ")[0], tuple(fields))
        self.rfile.read(int(seen.one("content-length") or 0))
        return seen

    def _echo(self, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.wfile.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while data := self.request.recv(4096):
            self.request.sendall(data)


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """An upstream on a free port."""
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A running upstream."""
    with running_upstream() as server:
        yield server
