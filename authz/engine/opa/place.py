"""Where the OPA server is, and how it is reached."""

from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from authz.core import ConfigurationError

_TLS_PORT = 443
_OPA_PORT = 8181


class Place(NamedTuple):
    """`socket` is set for a Unix socket; host and port are then of no importance."""

    host: str
    port: int
    tls: bool = False
    socket: Path | None = None

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix:{self.socket}"
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


def read_place(url: str) -> Place:
    """`https://HOST[:PORT]`, `http://LOOPBACK[:PORT]` or `unix:PATH`.

    Raises ConfigurationError: whoever is on the way of plain HTTP could answer in OPA's place.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ConfigurationError("opa.url: names no path (unix:/run/opa/opa.sock)")
        return Place("localhost", _OPA_PORT, socket=Path(path))
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"opa.url: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("opa.url: must be https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError("opa.url: takes scheme, host and port only; a token goes into opa.token_file")
    tls = parts.scheme == "https"
    if not tls and not _is_loopback(host):
        raise ConfigurationError("opa.url: plain http is for loopback only; use https, or a Unix socket")
    bracketed = f"[{host}]" if ":" in host else host
    return Place(bracketed, port or (_TLS_PORT if tls else _OPA_PORT), tls)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
