"""`.signatures.json` as OPA has it: JWTs that name every file of a bundle and its hash.

An OPA takes exactly one signature, in `signatures`; those of further people are in `countersignatures`, which it
passes over. Each is complete by itself: the same files and sequence under another key.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.bundle.errors import SignatureError
from authz.bundle.strict_json import NotStrictError, canonical, read_strict

SIGNATURES: Final = ".signatures.json"
MAX_SIGNATURES: Final = 16
MAX_SEQUENCE: Final = 2**53 - 1
"""What every JSON reader can count."""

_HASHES: Final = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
"""OPA also knows MD5 and SHA-1, which do not hold."""

_STRUCTURED: Final = ("data.json", "data.yaml", "data.yml", ".manifest")


class SignedFile(Struct, frozen=True):
    """One file as a signature has it. `hash` in hex."""

    name: str
    hash: str
    algorithm: str


class UnverifiedSignature(Struct, frozen=True):
    """One signature, read and not believed. `sequence` is 0 where none is stated."""

    key_id: str
    algorithm: str
    sequence: int
    files: tuple[SignedFile, ...]
    message: bytes
    signature: bytes


class _Header(Struct):
    alg: str
    kid: str = ""
    crit: Any = None
    b64: Any = None


class _Claims(Struct):
    files: tuple[SignedFile, ...]
    keyid: str = ""
    scope: str = ""
    sequence: int = 0


class _Document(Struct, forbid_unknown_fields=True):
    signatures: tuple[str, ...]
    countersignatures: tuple[str, ...] = ()


def unverified_tokens(document: bytes) -> tuple[str, ...]:
    """The JWTs in `.signatures.json`, OPA's own first. Raises SignatureError."""
    found = _converted(_strict(document, SIGNATURES), _Document, SIGNATURES)
    if len(found.signatures) != 1:
        raise SignatureError(f"{SIGNATURES} has {len(found.signatures)} signatures where OPA takes exactly one")
    tokens = (*found.signatures, *found.countersignatures)
    if len(tokens) > MAX_SIGNATURES:
        raise SignatureError(f"{SIGNATURES} has {len(tokens)} signatures, more than {MAX_SIGNATURES}")
    return tokens


def unverified_signatures(document: bytes) -> tuple[UnverifiedSignature, ...]:
    """The signatures in `.signatures.json`. Raises SignatureError for any that is not in the one form."""
    return tuple(map(_read, unverified_tokens(document)))


def write_signatures(tokens: tuple[str, ...]) -> bytes:
    """`.signatures.json` with these JWTs."""
    document: dict[str, Any] = {"signatures": tokens[:1]}
    if len(tokens) > 1:
        document["countersignatures"] = tokens[1:]
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def write_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """What a signature signs: header and claims as a JWT has them."""
    return b".".join(_unpadded(msgspec.json.encode(part)) for part in (header, claims))


def signed_token(message: bytes, signature: bytes) -> str:
    """The whole JWT."""
    return (message + b"." + _unpadded(signature)).decode()


def file_hash(name: str, content: bytes, algorithm: str = "SHA-256") -> str:
    """The hash of a file as OPA counts it, in hex. Raises SignatureError: not to be hashed so, or not JSON."""
    if algorithm not in _HASHES:
        raise SignatureError(f"{name} is hashed with {algorithm}; {', '.join(_HASHES)} count")
    if name.rpartition("/")[2] in _STRUCTURED:
        try:
            content = canonical(content)
        except NotStrictError as error:
            raise SignatureError(f"{name}: {error}") from None
    return hashlib.new(_HASHES[algorithm], content).hexdigest()


def _read(token: str) -> UnverifiedSignature:
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise SignatureError("a signature is not a JWT of three parts")
    header = _converted(_strict(_decoded(parts[0]), "a signature's header"), _Header, "a signature's header")
    claims = _converted(_strict(_decoded(parts[1]), "a signature's claims"), _Claims, "a signature's claims")
    if header.crit is not None or header.b64 is not None:
        raise SignatureError("a signature's header asks for what is not known here (crit, b64)")
    if header.kid and claims.keyid and header.kid != claims.keyid:
        raise SignatureError("a signature names two keys: kid and keyid differ")
    if claims.scope:
        raise SignatureError(f"a signature is for the scope {claims.scope!r}; none is expected")
    if not 0 <= claims.sequence <= MAX_SEQUENCE:
        raise SignatureError(f"a signature's sequence is not between 0 and {MAX_SEQUENCE}")
    message = f"{parts[0]}.{parts[1]}".encode()
    key_id = header.kid or claims.keyid
    return UnverifiedSignature(key_id, header.alg, claims.sequence, claims.files, message, _decoded(parts[2]))


def _decoded(part: str) -> bytes:
    """Base64url without padding, in its one form (RFC 7515 section 2)."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("a signature is not base64url") from None
    if _unpadded(data).decode() != part:
        raise SignatureError("a signature is not in the one form of base64url")
    return data


def _unpadded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _strict(text: bytes, what: str) -> Any:
    try:
        return read_strict(text)
    except NotStrictError as error:
        raise SignatureError(f"{what}: {error}") from None


def _converted(value: Any, kind: type[Any], what: str) -> Any:
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise SignatureError(f"{what}: {error}") from None
