"""A real OPA over TLS."""

import asyncio
import datetime
import ipaddress
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from authz.engine.opa import Place
from tests.engine.opa.conftest import Ask, StartOpa, allowed, questions


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    files = directory / f"{name}.pem", directory / f"{name}.key"
    files[0].write_bytes(built.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
async def test_only_the_stated_authority_is_believed(ask: Ask, start_opa: StartOpa, tmp_path: Path) -> None:
    """With its CA file OPA answers over TLS; with another one, or the machine's own, it is not even asked."""
    (ours, key), (theirs, _) = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    port = free_port()
    # TLS is for the port; the Unix socket beside it, which this test asks for health, has it too.
    opa = await asyncio.to_thread(
        start_opa,
        "obedient",
        "--addr",
        f"127.0.0.1:{port}",
        "--tls-cert-file",
        str(ours),
        "--tls-private-key-file",
        str(key),
    )
    place = Place("127.0.0.1", port, tls=True)
    asked = await ask(opa, place=place, ca_file=ours)
    assert await asked.policy.evaluate_all(questions(3)) == [allowed(number) for number in range(3)]
    for other in (theirs, None):
        asked = await ask(opa, place=place, ca_file=other, wait=False)
        while asked.server.breaker.reason == "not asked yet":
            await asyncio.sleep(0.01)
        assert asked.server.breaker.reason == f"ClientConnectorCertificateError at https://127.0.0.1:{port}"
