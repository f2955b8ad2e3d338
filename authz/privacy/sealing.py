"""Sealing to the security team: this service can write what only the holder of the team's private key can read.

Names are sealed one by one with HPKE (RFC 9180: DHKEM X25519, HKDF-SHA256, AES-256-GCM). Fields of records are too
many for that (120 us each), so a data key is sealed so, and the fields under it with AES-256-GCM (2.5 us):

    s1:<key id>:<base64url of: sealed data key (80 bytes) | nonce (12) | ciphertext and tag>
"""

import base64
import binascii
import os
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from authz.core import AuthzError, ConfigurationError
from authz.identity import create_once

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEALED_KEY_BYTES: Final = 80
_NONCE_BYTES: Final = 12
_FIELD: Final = b"authz-field-key/1"
_NAME: Final = b"authz-name/1\0"
_DATA_KEY_SECONDS: Final = 3600.0
_DATA_KEY_USES: Final = 1 << 24
"""Far below the 2^32 messages that random nonces of AES-GCM allow (NIST SP 800-38D section 8.3)."""


class NotOpenedError(AuthzError):
    """What was sealed does not open: it is for another key, or was changed."""


class Sealer:
    """Seals to one public key. Nothing it keeps opens what it sealed more than an hour ago."""

    def __init__(self, public: X25519PublicKey, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._public = public
        self.key_id = key_id(public)
        self._elapsed = elapsed
        self._renew()

    def name(self, value: str, pseudonym: str) -> bytes:
        """A clear id, bound to its pseudonym: it opens under no other."""
        return _SUITE.encrypt(value.encode(errors="surrogatepass"), self._public, _NAME + pseudonym.encode())

    def field(self, value: str) -> str:
        """A field of a record. The same value never looks the same twice."""
        self._uses += 1
        if self._uses > _DATA_KEY_USES or self._elapsed() >= self._until:
            self._renew()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._data_key.encrypt(nonce, value.encode(errors="surrogatepass"), None)
        return self._prefix + base64.urlsafe_b64encode(self._sealed_key + nonce + sealed).rstrip(b"=").decode()

    def _renew(self) -> None:
        key = AESGCM.generate_key(256)
        self._sealed_key = _SUITE.encrypt(key, self._public, _FIELD)
        self._data_key = AESGCM(key)
        self._prefix = f"s1:{self.key_id}:"
        self._uses = 0
        self._until = self._elapsed() + _DATA_KEY_SECONDS


class Opener:
    """Opens what was sealed to the security team, with its private key."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.key_id = key_id(private.public_key())
        self._data_key = lru_cache(maxsize=64)(self._unsealed)

    def name(self, sealed: bytes, pseudonym: str) -> str:
        """The clear id under this pseudonym. Raises NotOpenedError."""
        try:
            return _SUITE.decrypt(sealed, self._private, _NAME + pseudonym.encode()).decode(errors="surrogatepass")
        except (InvalidTag, ValueError):
            raise NotOpenedError("a name does not open with this key") from None

    def field(self, text: str) -> str:
        """The clear value of a field `s1:...`. Raises NotOpenedError."""
        version, _, rest = text.partition(":")
        owner, _, encoded = rest.partition(":")
        if version != "s1" or owner != self.key_id:
            raise NotOpenedError(f"the field is sealed to another key than {self.key_id}")
        try:
            raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            nonce_end = _SEALED_KEY_BYTES + _NONCE_BYTES
            opened = self._data_key(raw[:_SEALED_KEY_BYTES]).decrypt(
                raw[_SEALED_KEY_BYTES:nonce_end], raw[nonce_end:], None
            )
            return opened.decode(errors="surrogatepass")
        except (InvalidTag, ValueError, binascii.Error):
            raise NotOpenedError("the field does not open with this key") from None

    def _unsealed(self, sealed_key: bytes) -> AESGCM:
        return AESGCM(_SUITE.decrypt(sealed_key, self._private, _FIELD))


def key_id(public: X25519PublicKey) -> str:
    """The first 8 hex digits of SHA-256 over the raw public key."""
    return sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:8]


def new_team_key(private: Path, public: Path) -> str:
    """Make a key pair of the security team, each file in PEM; the key's id. Never writes over a file.

    Raises ConfigurationError, OSError.
    """
    for path in (private, public):
        if path.exists():
            raise ConfigurationError(f"{path} is there already")
    key = X25519PrivateKey.generate()
    create_once(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key_id(key.public_key())


def load_team_key(path: Path) -> X25519PublicKey:
    """The team's public key from a PEM file. Raises ConfigurationError; a private key is refused loudly."""
    content = _read(path)
    if b"PRIVATE" in content:
        raise ConfigurationError(f"audit.security_key: {path} is a private key: it belongs to the security team alone")
    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise ConfigurationError(f"audit.security_key: {path} is no public key in PEM: {error}") from None
    if not isinstance(key, X25519PublicKey):
        raise ConfigurationError(f"audit.security_key: {path} is not an X25519 key: authz keys team new makes one")
    return key


def load_private_team_key(path: Path) -> X25519PrivateKey:
    """The team's private key from a PEM file without a passphrase. Raises ConfigurationError."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: is no private key in PEM without a passphrase: {error}") from None
    if not isinstance(key, X25519PrivateKey):
        raise ConfigurationError(f"{path}: is not an X25519 key")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {os.strerror(error.errno or 0)}") from None
