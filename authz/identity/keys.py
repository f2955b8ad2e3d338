"""A JWK Set (RFC 7517), reduced to the keys that may verify a token of one issuer."""

import base64
import hashlib
from collections import Counter
from typing import Any, NamedTuple

import msgspec
from jwt import PyJWK
from jwt.exceptions import PyJWTError
from msgspec import Struct

from authz.core import AuthzError

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 100
_RSA_BITS = range(2048, 8193)

_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}


class KeysUnavailableError(AuthzError):
    """An issuer's keys cannot be had, or what came in their place is no JWK Set. The message holds nothing of it."""

    code = "keys_unavailable"


class KeySet(NamedTuple):
    """The keys of one issuer, each bound to one algorithm.

    `by_kid`: (kid, algorithm) -> key. `lone`: algorithm -> key, when the set has one key only, for tokens without
    a `kid`. `fingerprint` changes when a usable key does. `size` counts the usable keys, `dropped` holds (kid, why)
    of the others.
    """

    by_kid: dict[tuple[str, str], PyJWK]
    lone: dict[str, PyJWK]
    kids: frozenset[str]
    size: int
    fingerprint: str
    dropped: tuple[tuple[str, str], ...] = ()


class _Usable(NamedTuple):
    kid: str | None
    thumbprint: str
    bound: dict[str, PyJWK]


class _Unusable(Exception):  # noqa: N818 - noted down beside the key, never raised out of this file
    pass


class _Document(Struct):
    keys: list[dict[str, Any]]


_decode_document = msgspec.json.Decoder(_Document).decode


def read_key_set(document: bytes, algorithms: tuple[str, ...]) -> KeySet:
    """The usable keys of a JWK Set document.

    Raises KeysUnavailableError when it is too large, no JWK Set, or holds no usable key. A key that cannot be used
    (another purpose or kind, too short, private, one kid for two keys) is left out; the others still count.
    """
    usable: dict[tuple[str | None, str], _Usable] = {}
    dropped: list[tuple[str, str]] = []
    for jwk in _listed(document):
        try:
            key = _read_key(jwk, algorithms)
        except _Unusable as why:
            dropped.append((_shown(jwk), str(why)))
        else:
            usable[key.kid, key.thumbprint] = key
    kept = _without_clashes(list(usable.values()), dropped)
    if not kept:
        raise KeysUnavailableError("the JWK Set holds no usable key")
    return _key_set(kept, tuple(dropped))


def _listed(document: bytes) -> list[dict[str, Any]]:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise KeysUnavailableError(f"the JWK Set is over {MAX_DOCUMENT_BYTES} bytes")
    try:
        keys = _decode_document(document).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeysUnavailableError("the document is not a JWK Set") from None
    if len(keys) > MAX_KEYS:
        raise KeysUnavailableError(f"the JWK Set has over {MAX_KEYS} keys")
    return keys


def _read_key(jwk: dict[str, Any], allowed: tuple[str, ...]) -> _Usable:
    """RFC 7517 section 4: purpose, kind and algorithm; only the public members go on."""
    if any(name in jwk for name in _PRIVATE_MEMBERS):
        raise _Unusable("it holds a secret or a private key")
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk):
        raise _Unusable("it is not for signatures")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise _Unusable("its kid is not a string")
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _PUBLIC_MEMBERS:
        raise _Unusable("its kty is not RSA, EC or OKP")
    members = {name: jwk.get(name) for name in _PUBLIC_MEMBERS[kind]}
    if not all(isinstance(value, str) for value in members.values()):
        raise _Unusable("a member of the key is missing or no string")
    members["kty"] = kind
    return _Usable(kid, thumbprint(members), _bound(members, _algorithms(jwk, kind, allowed)))


def _operations(jwk: dict[str, Any]) -> list[Any]:
    operations = jwk.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _algorithms(jwk: dict[str, Any], kind: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    curve = jwk.get("crv")
    fitting = _RSA_ALGORITHMS if kind == "RSA" else _CURVE_ALGORITHMS.get(curve, ()) if isinstance(curve, str) else ()
    found = tuple(name for name in fitting if name in allowed and jwk.get("alg", name) == name)
    if not found:
        raise _Unusable("it fits none of the issuer's algorithms")
    return found


def _bound(members: dict[str, Any], algorithms: tuple[str, ...]) -> dict[str, PyJWK]:
    try:
        bound = {name: PyJWK(members, name) for name in algorithms}
    except (PyJWTError, ValueError):
        raise _Unusable("its numbers are not a key") from None
    if members["kty"] == "RSA" and any(key.key.key_size not in _RSA_BITS for key in bound.values()):
        raise _Unusable(f"it is not {_RSA_BITS.start} to {_RSA_BITS.stop - 1} bits long")
    return bound


def _without_clashes(keys: list[_Usable], dropped: list[tuple[str, str]]) -> list[_Usable]:
    """Two different keys under one kid and algorithm: neither can be meant, so neither counts."""
    claims: Counter[tuple[str | None, str]] = Counter(
        (key.kid, algorithm) for key in keys if key.kid is not None for algorithm in key.bound
    )
    kept = []
    for key in keys:
        if any(claims[key.kid, algorithm] > 1 for algorithm in key.bound):
            dropped.append((str(key.kid)[:64], "another key has the same kid"))
        else:
            kept.append(key)
    return kept


def _key_set(keys: list[_Usable], dropped: tuple[tuple[str, str], ...]) -> KeySet:
    by_kid = {(key.kid, name): bound for key in keys if key.kid is not None for name, bound in key.bound.items()}
    lone = keys[0].bound if len(keys) == 1 else {}
    named = sorted(f"{key.kid!r} {key.thumbprint} {sorted(key.bound)}" for key in keys)
    fingerprint = hashlib.sha256("\n".join(named).encode()).hexdigest()
    return KeySet(by_kid, lone, frozenset(kid for kid, _ in by_kid), len(keys), fingerprint, dropped)


def thumbprint(members: dict[str, Any]) -> str:
    """RFC 7638: SHA-256 over the public members in lexical order, base64url."""
    canonical = msgspec.json.encode(dict(sorted(members.items())))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _shown(jwk: dict[str, Any]) -> str:
    kid = jwk.get("kid")
    return kid[:64] if isinstance(kid, str) else ""
