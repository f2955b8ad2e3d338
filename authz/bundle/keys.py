"""Keys of bundles: who may sign a policy."""

import hashlib
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt import get_algorithm_by_name

from authz.bundle.errors import KeyRefusedError

KeyAlgorithm = Literal["ES256", "ES384", "EdDSA", "PS256", "RS256"]
"""Never a shared secret, never `none`. An OPA server knows these but EdDSA."""

_RSA_BITS: Final = 2048
_PRIVATE = (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey)


class VerificationKey(NamedTuple):
    """A key that may sign. `fingerprint`: SHA-256 of its public half (DER), so that one key is never two signers."""

    key_id: str
    algorithm: str
    public: Any
    fingerprint: str

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key made the signature."""
        return bool(get_algorithm_by_name(self.algorithm).verify(message, self.public, signature))


class SigningKey(NamedTuple):
    """The private half. It never shows."""

    key_id: str
    algorithm: str
    private: Any

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        return bytes(get_algorithm_by_name(self.algorithm).sign(message, self.private))

    @property
    def verification_key(self) -> VerificationKey:
        """The public half."""
        return _verification_key(self.key_id, self.private.public_key(), self.algorithm)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def read_verification_key(key_id: str, file: Path, algorithm: str | None = None) -> VerificationKey:
    """A public key from a PEM file. Raises KeyRefusedError."""
    return verification_key(key_id, _pem(key_id, file), algorithm)


def verification_key(key_id: str, pem: bytes, algorithm: str | None = None) -> VerificationKey:
    """A public key from PEM. Raises KeyRefusedError."""
    return _verification_key(key_id, _public(key_id, pem), algorithm)


def read_signing_key(key_id: str, file: Path, algorithm: str | None = None) -> SigningKey:
    """A private key from a PEM file without a password. Raises KeyRefusedError."""
    try:
        private = load_pem_private_key(_pem(key_id, file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefusedError(f"key {key_id}: {file} holds no private key in PEM without a password") from None
    if not isinstance(private, _PRIVATE):
        raise KeyRefusedError(f"key {key_id}: neither EC, nor Ed25519, nor RSA")
    return SigningKey(key_id, _fitting(key_id, private.public_key(), algorithm), private)


def _verification_key(key_id: str, public: Any, algorithm: str | None) -> VerificationKey:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(key_id, _fitting(key_id, public, algorithm), public, hashlib.sha256(der).hexdigest())


def _pem(key_id: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise KeyRefusedError(f"key {key_id}: {file}: {error.strerror}") from None


def _public(key_id: str, pem: bytes) -> Any:
    if b"PRIVATE KEY" in pem:
        raise KeyRefusedError(f"key {key_id}: this is the private key; give the public one to whoever verifies")
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefusedError(f"key {key_id}: no public key in PEM") from None


def _fitting(key_id: str, public: Any, stated: str | None) -> str:
    """The algorithm of a key: what was stated, if the key can do that."""
    possible = _possible(public)
    if not possible:
        raise KeyRefusedError(f"key {key_id}: use EC P-256 or P-384, Ed25519, or RSA of {_RSA_BITS} bits or more")
    if stated is None:
        return possible[0]
    if stated not in get_args(KeyAlgorithm) or stated not in possible:
        raise KeyRefusedError(f"key {key_id}: cannot be used with {stated}, only with {' or '.join(possible)}")
    return stated


def _possible(public: Any) -> tuple[str, ...]:
    if isinstance(public, rsa.RSAPublicKey):
        return ("RS256", "PS256") if public.key_size >= _RSA_BITS else ()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return ("EdDSA",)
    if isinstance(public, ec.EllipticCurvePublicKey):
        by_curve = {"secp256r1": ("ES256",), "secp384r1": ("ES384",)}
        return by_curve.get(public.curve.name, ())
    return ()
