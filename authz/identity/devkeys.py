"""Development tokens: a signing key in the state directory, and the issuer that `--dev` accepts beside no other."""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from authz.config import IssuerSettings
from authz.core import ConfigurationError
from authz.identity.keys import thumbprint
from authz.identity.pseudonym import create_once

DEV_ISSUER = "https://dev.authz.invalid"
DEV_AUDIENCE = "authz-dev"
DEV_CLAIMS = ("acr", "amr", "auth_time", "azp", "email", "groups", "tenant")
"""The claims of development tokens that policies can see."""

_RESERVED = frozenset({"iss", "aud", "sub", "iat", "nbf", "exp", "roles", "scope"})


def dev_issuer(state: Path) -> IssuerSettings:
    """The development issuer, its keys made first when there are none. Raises ConfigurationError."""
    key = _signing_key(state)
    public = state / "keys" / "dev-token.jwks.json"
    document = msgspec.json.encode({"keys": [_jwk(key)]})
    if not public.exists() or public.read_bytes() != document:
        public.write_bytes(document)
    return IssuerSettings(
        issuer=DEV_ISSUER,
        audiences=(DEV_AUDIENCE,),
        algorithms=("EdDSA",),
        keys=str(public),
        roles_claim="roles",
        token_types=("at+jwt",),
        claims=DEV_CLAIMS,
    )


def mint_token(
    state: Path,
    sub: str,
    roles: Sequence[str] = (),
    scopes: Sequence[str] | None = None,
    ttl_seconds: int = 3600,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """A token of the development issuer. Without `scopes` it has no scope claim, so nothing restricts its roles.

    Raises ConfigurationError when a claim is one that is set here, or the key cannot be used.
    """
    taken = sorted(_RESERVED & set(claims or {}))
    if taken:
        raise ConfigurationError(f"the claims {', '.join(taken)} have options of their own or are set by us")
    key = _signing_key(state)
    now = int(time.time())
    payload = {
        **(claims or {}),
        "iss": DEV_ISSUER,
        "aud": DEV_AUDIENCE,
        "sub": sub,
        "iat": now,
        "exp": now + ttl_seconds,
        "roles": list(roles),
    }
    if scopes is not None:
        payload["scope"] = " ".join(scopes)
    return jwt.encode(payload, key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": _jwk(key)["kid"]})


def _signing_key(state: Path) -> Ed25519PrivateKey:
    path = state / "keys" / "dev-token.key"
    if not path.exists():
        create_once(path, _pem(Ed25519PrivateKey.generate()))
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is not an Ed25519 private key; remove it and a new one is made")
    return key


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    members = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
    return {**members, "kid": thumbprint(members), "use": "sig", "alg": "EdDSA"}
