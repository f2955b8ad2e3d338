"""From verified claims to a subject. Times, audience and kind are checked here and not by PyJWT.

PyJWT reads the wall clock itself, takes `"exp": "1e9"` for a number, and never looks at `typ`.
"""

from typing import Any, NamedTuple

from authz.config import IssuerSettings
from authz.core import Pseudonyms, Subject
from authz.identity.jose import Header, Refused
from authz.identity.revocations import Marks
from authz.identity.settings import KEYCLOAK_ROLES

_MAX_NAME_LENGTH = 255
"""Of `sub` and `sid`, in characters (OpenID Connect Core section 2 for `sub`)."""

_NOT_ACCESS_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash", "events", "htm", "htu")
"""Claims of ID tokens (OpenID Connect Core 2, 3.3.2.11), security events (RFC 8417) and DPoP proofs (RFC 9449)."""


class Verified(NamedTuple):
    """A subject, until when (seconds since the epoch) the token speaks for it, and by what it can be revoked."""

    subject: Subject
    until: float
    marks: Marks


def check_header(header: Header, settings: IssuerSettings) -> None:
    """Raise Refused when the header's `typ` or `alg` is not one that this issuer may use."""
    if _media_type(header.typ) not in {_media_type(name) for name in settings.token_types}:
        raise Refused("token_type", "the header's typ is not in token_types")
    if header.alg not in settings.algorithms:
        raise Refused("token_signature", "the header's alg is not in algorithms")


def read_claims(
    claims: dict[str, Any], header: Header, settings: IssuerSettings, pseudonyms: Pseudonyms, now: float
) -> Verified:
    """The subject of a token whose signature is good; `now` in seconds since the epoch.

    Raises Refused with the reason of the first check that fails (RFC 7519 section 4.1, RFC 9068 section 4).
    """
    exp = _check_times(claims, settings, now)
    _check_audience(claims, settings)
    _check_kind(claims, header)
    subject = _subject(claims, settings, pseudonyms)
    marks = Marks(settings.issuer, subject.id, claims.get("jti"), subject.session_id, claims.get("iat"))
    return Verified(subject, exp + settings.leeway_seconds, marks)


def _media_type(typ: str | None) -> str:
    """RFC 7515 section 4.1.9: compared without case, `application/` may be left out. None at all says `JWT`."""
    return (typ or "jwt").lower().removeprefix("application/")


def _check_times(claims: dict[str, Any], settings: IssuerSettings, now: float) -> int:
    for name in ("exp", "nbf", "iat"):
        if name in claims and type(claims[name]) is not int:
            raise Refused("token_malformed", f"{name} is not an integer")
    if "exp" not in claims:
        raise Refused("token_malformed", "exp is missing")
    exp: int = claims["exp"]
    if now >= exp + settings.leeway_seconds:
        raise Refused("token_expired", "exp has passed")
    if max(claims.get("nbf", 0), claims.get("iat", 0)) > now + settings.leeway_seconds:
        raise Refused("token_not_yet_valid", "nbf or iat is in the future")
    if exp - claims.get("iat", now) > settings.max_lifetime_seconds:
        raise Refused("token_malformed", "the lifetime is over max_lifetime_seconds")
    return exp


def _check_audience(claims: dict[str, Any], settings: IssuerSettings) -> None:
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise Refused("token_audience", "aud is missing, or neither a string nor a list of strings")
    if not set(settings.audiences) & set(named):
        raise Refused("token_audience", "aud names none of audiences")


def _check_kind(claims: dict[str, Any], header: Header) -> None:
    """RFC 8725 section 3.11: only `at+jwt` says by itself that this is an access token.

    A plain `JWT` may be anything, so the claims must not say otherwise. Keycloak says `Bearer` in a claim `typ`
    (and puts a `nonce` even in access tokens), Cognito says `access` in `token_use`.
    """
    if "cnf" in claims:
        raise Refused("token_binding", "the token is bound to a key that cannot be checked here")
    kind = claims.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise Refused("token_type", "the claim typ is not Bearer")
    if claims.get("token_use", "access") != "access":
        raise Refused("token_type", "the claim token_use is not access")
    explicit = kind is not None or _media_type(header.typ) == "at+jwt"
    if not explicit and any(name in claims for name in _NOT_ACCESS_TOKENS):
        raise Refused("token_type", "the claims are those of an ID token, a logout token or a proof")


def _subject(claims: dict[str, Any], settings: IssuerSettings, pseudonyms: Pseudonyms) -> Subject:
    identity = _name(claims, "sub")
    if identity is None:
        raise Refused("token_malformed", "sub is missing")
    if not isinstance(claims.get("jti", ""), str):
        raise Refused("token_malformed", "jti is not a string")
    kept = {name: claims[name] for name in settings.claims if name in claims}
    return Subject(
        type=settings.subject_type,
        id=identity,
        source="token",
        pseudonym=pseudonyms.pseudonym(identity),
        roles=_roles(claims, settings),
        scopes=_strings(_at(claims, settings.scopes_claim), settings.scopes_claim),
        scope_mode=settings.scope_mode,
        issuer=settings.issuer,
        properties={"claims": kept} if kept else {},
        session_id=_name(claims, "sid"),
    )


def _name(claims: dict[str, Any], name: str) -> str | None:
    """A claim that names someone: it ends up in headers and records."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_LENGTH or not value.isprintable():
        raise Refused("token_malformed", f"{name} is not 1 to {_MAX_NAME_LENGTH} printable characters")
    return value


def _roles(claims: dict[str, Any], settings: IssuerSettings) -> tuple[str, ...]:
    held = _strings(_at(claims, settings.roles_claim), settings.roles_claim)
    if held is None and settings.roles_claim == "roles":
        held = _strings(_at(claims, KEYCLOAK_ROLES), KEYCLOAK_ROLES)
    return tuple(dict.fromkeys(settings.role_map.get(role, role) for role in held or ()))


_MISSING = object()


def _at(claims: dict[str, Any], path: str) -> object:
    """What stands at a dotted path. The longest name wins: `https://api.example/roles` is one claim."""
    if path in claims:
        return claims[path]
    cut = path.rfind(".")
    while cut > 0:
        inner = claims.get(path[:cut])
        if isinstance(inner, dict) and (found := _at(inner, path[cut + 1 :])) is not _MISSING:
            return found
        cut = path.rfind(".", 0, cut)
    return _MISSING


def _strings(value: object, path: str) -> tuple[str, ...] | None:
    """A list of strings or a space separated string (RFC 6749 section 3.3); None when there is none."""
    if value is _MISSING:
        return None
    items = value.split(" ") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item.isprintable() for item in items):
        raise Refused("token_malformed", f"{path} is neither a string nor a list of printable strings")
    return tuple(dict.fromkeys(item for item in items if item))
