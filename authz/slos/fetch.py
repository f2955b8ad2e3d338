"""One GET, over HTTP or a Unix socket; a redirect is not followed, since the token is for nobody else."""

import http.client
import socket
from typing import Final
from urllib.parse import urlsplit

from authz.slos.errors import SloSourceError

_SECONDS: Final = 60.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def get(url: str, path: str, token: str | None = None) -> tuple[int, bytes]:
    """Status and body. `url` is http(s)://HOST:PORT or unix:PATH. Raises SloSourceError when nobody answers."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection, base = _connection(url)
    try:
        connection.request("GET", base + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SloSourceError(f"{url}: {type(error).__name__} {error}".rstrip()) from None
    finally:
        connection.close()


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    if url.startswith("unix:"):
        return _UnixConnection(url.removeprefix("unix:")), ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SloSourceError(f"{url}: must be http://HOST:PORT, https://HOST:PORT or unix:PATH")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=_SECONDS), parts.path.rstrip("/")
