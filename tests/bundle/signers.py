"""Keys made for a test, and bundles that are forged with them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from authz import bundle
from authz.bundle.signatures import file_hash, signed_token, write_token

SIGNATURES = ".signatures.json"


class Signer(NamedTuple):
    """A key pair on the disk."""

    key_id: str
    private: Path
    public: Path
    algorithm: str | None = None

    @property
    def signing(self) -> bundle.SigningKey:
        return bundle.read_signing_key(self.key_id, self.private, self.algorithm)

    @property
    def verification(self) -> bundle.VerificationKey:
        return bundle.read_verification_key(self.key_id, self.public, self.algorithm)


def make_signer(directory: Path, key_id: str, algorithm: str = "ES256") -> Signer:
    """A new key pair for an algorithm."""
    made: dict[str, Any] = {
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "PS256": lambda: rsa.generate_private_key(65537, 2048),
    }
    private = made[algorithm]()
    files = directory / f"{key_id}.pem", directory / f"{key_id}.pub"
    files[0].write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Signer(key_id, *files, algorithm if algorithm == "PS256" else None)


def claims_of(members: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """The claims of an honest signature, with some of them replaced."""
    files = [
        {"name": name, "hash": file_hash(name, content), "algorithm": "SHA-256"}
        for name, content in members.items()
        if name != SIGNATURES
    ]
    return {"files": files, "sequence": 1, **more}


def token(key: bundle.SigningKey, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A JWT over any claims, with any header."""
    message = write_token(header or {"alg": key.algorithm, "kid": key.key_id}, claims)
    return signed_token(message, key.sign(message))


def with_tokens(members: Mapping[str, bytes], *tokens: str, **more: Any) -> dict[str, bytes]:
    """The members with `.signatures.json` of just these."""
    return {**members, SIGNATURES: json.dumps({"signatures": tokens, **more}).encode()}
