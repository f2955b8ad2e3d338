"""The PDP's metadata document (AuthZEN 1.0 section 9): made of the configuration, never of what a request says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from aiohttp import web
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from authz.core import EVALUATION, EVALUATIONS, METADATA, SEARCH_PATHS, SEARCHES, ConfigurationError
from authz.gateways import Reply, RequestHead
from authz.http.answers import Answer, only_get
from authz.http.errors import NotFoundError

_CACHED = "public, max-age=300"
_KEYS = {
    "access_evaluation_endpoint": EVALUATION,
    "access_evaluations_endpoint": EVALUATIONS,
}


class SigningKey:
    """Signs metadata (section 9.1.3). The verifiers know its public half from elsewhere."""

    def __init__(self, key: Any, algorithm: str) -> None:
        self._key = key
        self._algorithm = algorithm

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """A private key in PEM: Ed25519, ECDSA on P-256, or RSA of 2048 bits or more.

        Raises ConfigurationError, naming the setting.
        """
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"authzen.metadata_key: {path} cannot be read as a private key: {error}") from None
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(key, "EdDSA")
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key, "ES256")
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
            return cls(key, "RS256")
        raise ConfigurationError(f"authzen.metadata_key: {path} must be Ed25519, P-256, or RSA of 2048 bits or more")

    def sign(self, issuer: str, claims: dict[str, Any]) -> str:
        """The claims as a JWT of this issuer."""
        return jwt.encode({"iss": issuer, **claims}, self._key, algorithm=self._algorithm)


class Metadata:
    """Serves the document. What the policy in force does not offer is not in it.

    `identifier`: the PDP's identifier, an https URL without query or fragment; None: there is no document.
    """

    def __init__(self, identifier: str | None, key: SigningKey | None, searches: Callable[[], frozenset[str]]) -> None:
        self.identifier = identifier
        self._key = key
        self._searches = searches
        self._made: dict[tuple[str, frozenset[str]], bytes] = {}

    @property
    def path(self) -> str:
        """Where it is served: before the identifier's own path (section 9.2.1)."""
        return METADATA + self.prefix

    @property
    def prefix(self) -> str:
        """The identifier's own path, without a slash at its end."""
        return urlsplit(self.identifier or "").path.rstrip("/")

    async def answer(self, head: RequestHead, _request: web.BaseRequest) -> Answer:
        """The document. It is public: it says where to ask, and nothing else."""
        only_get(head)
        if self.identifier is None:
            raise NotFoundError("There is no metadata: authzen.identifier is not set")
        headers = {"Content-Type": "application/json", "Cache-Control": _CACHED}
        return Answer(Reply(200, headers, self.document(self.identifier)))

    def document(self, identifier: str) -> bytes:
        """The document as it is served, signed where there is a key. The same bytes as long as nothing changes."""
        searches = self._searches()
        made = self._made.get((identifier, searches))
        if made is None:
            made = self._made[identifier, searches] = self._make(identifier, searches)
        return made

    def _make(self, identifier: str, searches: frozenset[str]) -> bytes:
        base = identifier.rstrip("/")
        offered = {f"search_{kind}_endpoint": path for kind, path in SEARCH_PATHS.items() if SEARCHES[kind] in searches}
        claims = {"policy_decision_point": identifier}
        claims |= {name: base + path for name, path in (_KEYS | offered).items()}
        if self._key is None:
            return msgspec.json.encode(claims)
        return msgspec.json.encode({**claims, "signed_metadata": self._key.sign(identifier, claims)})
