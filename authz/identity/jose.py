"""The compact serialisation, read strictly: what is not canonical is refused before any key is looked at.

Nothing in here is verified. The rules go beyond PyJWT's own where a lenient reading lets one token have two meanings
(RFC 8725 sections 2 and 3): duplicate members, padding, other encodings than UTF-8, members that name a key.
"""

import base64
import binascii
import json
import re
from typing import Any, NamedTuple

import msgspec

from authz.core import UnverifiedClaims, nesting_within

MAX_TOKEN_LENGTH = 8192
"""Characters. Longer tokens are refused before anything is decoded."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)")
_REFUSED_MEMBERS = ("crit", "b64", "jku", "jwk", "x5u", "x5c", "zip")
_UNVERIFIED_LENGTH = 256
_INT64 = 1 << 63

_decode_any = msgspec.json.Decoder(Any).decode


class Refused(Exception):  # noqa: N818 - caught by the verifier at once and handed out as data, never as an error
    """The token does not count. `reason` is for everyone, `detail` a fixed sentence that holds nothing of it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Header(NamedTuple):
    """The members of the header that are used."""

    alg: str
    kid: str | None
    typ: str | None


class UnverifiedToken(NamedTuple):
    """A token that can be read. None of it is believed yet."""

    header: Header
    payload: bytes
    unverified_claims: dict[str, Any]


def read_token(text: str) -> UnverifiedToken:
    """Raise Refused (`token_malformed`) when the text is not one well-formed compact JWS with a JSON object in it."""
    header, payload, signature = _segments(text)
    read = _read_header(_read_object(_decode(header)))
    _decode(signature)
    data = _decode(payload)
    return UnverifiedToken(read, data, _read_object(data))


def unverified_claims(text: str) -> UnverifiedClaims | None:
    """What may be written down of a token that was refused; None when nothing can be read."""
    try:
        header, payload, _ = _segments(text)
    except Refused:
        return None
    named = _readable(header)
    claims = _readable(payload)
    kept = UnverifiedClaims(
        iss=_shortened(claims.get("iss")),
        aud=_shortened(_joined(claims.get("aud"))),
        kid=_shortened(named.get("kid")),
        exp=_small_int(claims.get("exp")),
        alg=_shortened(named.get("alg")),
    )
    return None if kept == UnverifiedClaims() else kept


def _segments(text: str) -> tuple[str, str, str]:
    found = _COMPACT.fullmatch(text)
    if found is None:
        raise Refused("token_malformed", "not three base64url segments")
    return found[1], found[2], found[3]


def _decode(segment: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise Refused("token_malformed", "a segment is not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment.encode():
        raise Refused("token_malformed", "a segment is not canonical base64url")
    return data


def _read_object(data: bytes) -> dict[str, Any]:
    """One JSON object: UTF-8 without a byte order mark, no lone surrogates, no NaN, no duplicates, bounded nesting."""
    try:
        value = _decode_any(data)
        if not isinstance(value, dict) or not nesting_within(value):
            raise Refused("token_malformed", "a segment is not a JSON object, or is nested too deep")
        # msgspec takes the last of two members with one name, so the names are read a second time to be counted
        json.loads(data, object_pairs_hook=_distinct)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refused("token_malformed", "a segment is not JSON") from None
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("token_malformed", "a name appears twice in one object")


def _read_header(members: dict[str, Any]) -> Header:
    """RFC 7515 section 4. `x5t` is a mere hint and common (Entra ID): it is ignored, not refused."""
    for name in _REFUSED_MEMBERS:
        if name in members:
            raise Refused("token_malformed", f"the header has a member {name}")
    alg = members.get("alg")
    if not isinstance(alg, str):
        raise Refused("token_malformed", "the header has no alg, or one that is not a string")
    for name in ("kid", "typ"):
        if name in members and not isinstance(members[name], str):
            raise Refused("token_malformed", f"the header's {name} is not a string")
    return Header(alg, members.get("kid"), members.get("typ"))


def _readable(segment: str) -> dict[str, Any]:
    try:
        return _read_object(_decode(segment))
    except Refused:
        return {}


def _joined(value: object) -> object:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value) or None
    return value


def _shortened(value: object) -> str | None:
    return value[:_UNVERIFIED_LENGTH] if isinstance(value, str) else None


def _small_int(value: object) -> int | None:
    return value if type(value) is int and -_INT64 <= value < _INT64 else None
