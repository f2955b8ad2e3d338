"""Where an OPA server may be."""

from pathlib import Path

import pytest

from authz.core import ConfigurationError
from authz.engine.opa import OpaClient, Place, read_place

PLACES = {
    "https://opa.example": Place("opa.example", 443, tls=True),
    "https://opa.example:8443/": Place("opa.example", 8443, tls=True),
    "https://[2001:db8::1]:8443": Place("[2001:db8::1]", 8443, tls=True),
    "http://127.0.0.1:9000": Place("127.0.0.1", 9000),
    "http://localhost": Place("localhost", 8181),
    "http://[::1]:8181": Place("[::1]", 8181),
    "unix:/run/opa/opa.sock": Place("localhost", 8181, socket=Path("/run/opa/opa.sock")),
    "unix:///run/opa/opa.sock": Place("localhost", 8181, socket=Path("/run/opa/opa.sock")),
}


@pytest.mark.parametrize("url", PLACES)
def test_places(url: str) -> None:
    """TLS anywhere, plain HTTP to loopback, and Unix sockets."""
    assert read_place(url) == PLACES[url]


REFUSED = {
    "http://opa.example:8181": "plain http is for loopback only",
    "http://10.0.0.1": "plain http is for loopback only",
    "http://localhost.example": "plain http is for loopback only",
    "https://opa.example/v1/data": "takes scheme, host and port only",
    "https://user:secret@opa.example": "takes scheme, host and port only",
    "https://opa.example?x=1": "takes scheme, host and port only",
    "https://opa.example:99999": "Port out of range",
    "opa.example:8181": "must be https://HOST:PORT",
    "https://": "must be https://HOST:PORT",
    "ftp://opa.example": "must be https://HOST:PORT",
    "unix:": "names no path",
    "": "must be https://HOST:PORT",
}


@pytest.mark.parametrize("url", REFUSED)
def test_other_places_are_refused(url: str) -> None:
    """Whoever is on the way of plain HTTP could answer in OPA's place; the rest is a mistake, named as one."""
    with pytest.raises(ConfigurationError, match=REFUSED[url]):
        read_place(url)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    """A CA file that cannot be used is a mistake in the configuration, not an outage."""
    with pytest.raises(ConfigurationError, match=r"opa\.ca_file: .*none\.pem cannot be used"):
        OpaClient(read_place("https://opa.example"), ca_file=tmp_path / "none.pem")
