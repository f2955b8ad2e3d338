"""The token verifier: one token in, a subject or a reason out, never an exception."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
import structlog
from jwt import PyJWK, PyJWS
from jwt.exceptions import (
    DecodeError,
    InvalidAlgorithmError,
    InvalidKeyError,
    InvalidSignatureError,
    InvalidTokenError,
    PyJWTError,
)
from jwt.types import SigOptions

from authz.config import IssuerSettings
from authz.core import BearerToken, Clock, Pseudonyms, Subject, TokenRefusal
from authz.identity.claims import check_header, read_claims
from authz.identity.jose import MAX_TOKEN_LENGTH, Refused, read_token, unverified_claims
from authz.identity.jwks import KeyCache, KeyStatus
from authz.identity.kept import KeptKeys
from authz.identity.revocations import Marks, Revocations
from authz.identity.settings import check_issuers, is_url
from authz.identity.sources import KeyFile, KeyUrl, open_session

_log = structlog.get_logger()
_jws = PyJWS()
_OPTIONS: SigOptions = {"verify_signature": True, "enforce_minimum_key_length": True}

_PYJWT_REASONS: tuple[tuple[type[PyJWTError], str], ...] = (
    (InvalidSignatureError, "token_signature"),
    (InvalidAlgorithmError, "token_signature"),
    (InvalidKeyError, "token_signature"),
    (DecodeError, "token_malformed"),
    (InvalidTokenError, "token_malformed"),
    (PyJWTError, "token_malformed"),
)
"""Most special first: InvalidSignatureError is a DecodeError."""


class _Issuer(NamedTuple):
    settings: IssuerSettings
    keys: KeyCache


class _Entry(NamedTuple):
    """A verified token's subject: before `until` (seconds since the epoch), under one generation of the keys.

    `unrevoked`: the generation of the revocations under which it was not revoked.
    """

    subject: Subject
    until: float
    keys: KeyCache
    generation: int
    marks: Marks
    unrevoked: int


class Unrevoked:
    """Where nothing can be revoked."""

    generation = 0

    @staticmethod
    def holds(marks: Marks) -> bool:  # noqa: ARG004
        """Never."""
        return False


class Verifier:
    """Verifies tokens of the configured issuers (core.TokenVerifier), and remembers the good ones.

    Only good tokens are remembered, by SHA-256 of the whole token, until they expire or their issuer's keys change;
    the oldest gives way. One that is revoked stops counting at once, remembered or not. `hits` and `misses` count.
    `kept_keys` is the directory for the last good keys. Raises ConfigurationError for issuers that cannot be safe.
    """

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        pseudonyms: Pseudonyms,
        clock: Clock,
        kept_keys: Path | None = None,
        *,
        remembered_tokens: int = 65_536,
        revocations: Revocations | None = None,
    ) -> None:
        check_issuers(issuers)
        self.hits = 0
        self.misses = 0
        self._settings = tuple(issuers)
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._kept_keys = kept_keys
        self._limit = remembered_tokens
        self._revocations: Revocations | Unrevoked = Unrevoked() if revocations is None else revocations
        self._verified: OrderedDict[bytes, _Entry] = OrderedDict()
        self._issuers: dict[str, _Issuer] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Begin to fetch keys. Does not wait for issuers: `status` says what is there."""
        self._session = open_session()
        for settings in self._settings:
            keys = self._key_cache(settings, self._session)
            await keys.start()
            self._issuers[settings.issuer] = _Issuer(settings, keys)

    async def close(self) -> None:
        """Stop fetching. Tokens are refused from here on."""
        issuers, self._issuers = self._issuers, {}
        self._verified.clear()
        for issuer in issuers.values():
            await issuer.keys.close()
        if self._session is not None:
            await self._session.close()

    def status(self) -> tuple[KeyStatus, ...]:
        """The keys of each issuer, in the order of the settings."""
        return tuple(issuer.keys.status() for issuer in self._issuers.values())

    async def verify(self, token: BearerToken) -> Subject | TokenRefusal:
        """The token's subject, or why it does not count. Never raises for what the token holds."""
        text = token.reveal()
        if len(text) > MAX_TOKEN_LENGTH:
            return TokenRefusal("token_too_large")
        if not text.isascii():
            return TokenRefusal("token_malformed")
        digest = sha256(text.encode()).digest()
        entry = self._verified.get(digest)
        if entry is not None and entry.generation == entry.keys.generation and self._clock.now() < entry.until:
            if entry.unrevoked != self._revocations.generation and (entry := self._look_again(digest, entry)) is None:
                return TokenRefusal("token_revoked", unverified_claims(text))
            self.hits += 1
            return entry.subject
        self.misses += 1
        return await self._verify_unseen(text, digest)

    async def _verify_unseen(self, text: str, digest: bytes) -> Subject | TokenRefusal:
        try:
            entry = await self._check(text)
        except Refused as refused:
            reason, detail = refused.reason, refused.detail
        except Exception as error:  # noqa: BLE001 - whatever a library makes of a stranger's bytes is not an allow
            reason, detail = "token_malformed", f"unforeseen: {type(error).__name__}"
            _log.error("token_check_failed", error=type(error).__name__)
        else:
            entry = self._remember(digest, entry)
            return entry.subject
        _log.debug("token_refused", reason=reason, detail=detail)
        return TokenRefusal(reason, unverified_claims(text))

    async def _check(self, text: str) -> _Entry:
        # 1. Read it strictly; nothing is believed yet.
        token = read_token(text)
        # 2. The issuer it names decides by which keys, algorithms and audiences it is judged, and by no others.
        name = token.unverified_claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Refused("token_issuer", "iss is not a configured issuer")
        # 3. Its kind and algorithm are ones that this issuer uses.
        check_header(token.header, issuer.settings)
        # 4. The key that it names, exactly; a key unknown so far may be waited for, briefly.
        key = await issuer.keys.find(token.header.kid, token.header.alg)
        # 5. The signature, and that it covers the very bytes that were read.
        if _signed_payload(text, key, token.header.alg) != token.payload:
            raise Refused("token_malformed", "the signed payload is not the one that was read")
        # 6. Times, audience and kind; then who it is.
        verified = read_claims(
            token.unverified_claims, token.header, issuer.settings, self._pseudonyms, self._clock.now()
        )
        # 7. Good as it is, it may have been revoked.
        unrevoked = self._revocations.generation
        if self._revocations.holds(verified.marks):
            raise Refused("token_revoked", "it was revoked")
        return _Entry(verified.subject, verified.until, issuer.keys, issuer.keys.generation, verified.marks, unrevoked)

    def is_revoked(self, subject_id: str) -> bool:
        """Whether everything of a subject is revoked, whatever its issuer."""
        return self._revocations.holds(Marks("", subject_id, None, None, int(self._clock.now())))

    def _look_again(self, digest: bytes, entry: _Entry) -> _Entry | None:
        """A remembered token after the revocations have changed; None if it is revoked."""
        if self._revocations.holds(entry.marks):
            del self._verified[digest]
            return None
        self._verified[digest] = looked = entry._replace(unrevoked=self._revocations.generation)
        return looked

    def _remember(self, digest: bytes, entry: _Entry) -> _Entry:
        """The entry as it is remembered, with a name for the token that tells nothing of it."""
        token_id = self._pseudonyms.pseudonym(f"token\0{digest.hex()}")
        named = msgspec.structs.replace(entry.subject, token_id=token_id, until=entry.until)
        if len(self._verified) >= self._limit:
            self._verified.popitem(last=False)
        self._verified[digest] = remembered = entry._replace(subject=named)
        return remembered

    def _key_cache(self, settings: IssuerSettings, session: aiohttp.ClientSession) -> KeyCache:
        if not is_url(settings.keys):
            return KeyCache(settings, KeyFile(Path(settings.keys)), self._clock)
        kept = KeptKeys(self._kept_keys, settings.issuer, settings.keys) if self._kept_keys else None
        return KeyCache(settings, KeyUrl(settings.keys, session), self._clock, kept)


def _signed_payload(text: str, key: PyJWK, algorithm: str) -> bytes:
    try:
        decoded = _jws.decode_complete(text, key, algorithms=[algorithm], options=_OPTIONS)
    except PyJWTError as error:
        reason = next(reason for kind, reason in _PYJWT_REASONS if isinstance(error, kind))
        raise Refused(reason, f"PyJWT: {type(error).__name__}") from None
    payload: bytes = decoded["payload"]
    return payload
