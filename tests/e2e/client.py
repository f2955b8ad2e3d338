"""A client that sends exactly the bytes it is told to, on one connection that is kept alive."""

import contextlib
import socket
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

Fields = list[tuple[str, str]]


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    headers: dict[str, str]
    body: bytes


class HungUpError(Exception):
    """The gateway closed the connection without an answer."""


class Client:
    """One connection, opened again when the gateway closes it; `connections` counts how often it was opened."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname is not None
        assert place.port is not None
        self._place = (place.hostname, place.port)
        self._socket: socket.socket | None = None
        self._pending = b""
        self.connections = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, method: str, target: str, headers: dict[str, str] | Fields | None = None) -> Answer:
        """One request without a body, the target exactly as given."""
        fields = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", "api.test"))
        if method in ("POST", "PUT", "PATCH", "DELETE"):
            fields.append(("Content-Length", "0"))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
        return self.raw("\r\n".join(lines).encode("utf-8", "surrogateescape"), head=method == "HEAD")

    def raw(self, data: bytes, *, head: bool = False) -> Answer:
        """These very bytes, and the answer. Raises HungUpError."""
        try:
            if self._socket is None:
                self._connect()
            assert self._socket is not None
            with contextlib.suppress(BrokenPipeError):
                self._socket.sendall(data)
            return self._answer(head=head)
        except (HungUpError, ConnectionError):
            self.close()
            raise HungUpError from None

    def tunnel(self, data: bytes) -> bytes:
        """After a 101: bytes through the connection, and as many back."""
        assert self._socket is not None
        self._socket.sendall(data)
        while len(self._pending) < len(data):
            self._more()
        echoed, self._pending = self._pending[: len(data)], self._pending[len(data) :]
        return echoed

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._pending = None, b""

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._place, timeout=60)
        self.connections += 1

    def _more(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise HungUpError
        self._pending += data

    def _answer(self, *, head: bool) -> Answer:
        code, headers = self._head()
        while 100 <= code < 200 and code != 101:  # interim (RFC 9110 section 15.2): the answer is yet to come
            code, headers = self._head()
        body = b"" if head or code in (101, 204, 304) else self._body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(code, headers, body)

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._pending:
            self._more()
        top, _, self._pending = self._pending.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status.split(" ")[1]), headers

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        with contextlib.suppress(HungUpError):
            while True:
                self._more()
        return self._take(len(self._pending))

    def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._pending:
                self._more()
            size, _, self._pending = self._pending.partition(b"\r\n")
            chunk = self._take(int(size, 16) + 2)[:-2]
            if not chunk:
                return body
            body += chunk

    def _take(self, count: int) -> bytes:
        while len(self._pending) < count:
            self._more()
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken
