"""What a token issuer is trusted for, as the operator states it, and the refusal of settings that cannot be safe."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from authz.config import IssuerSettings
from authz.core import ConfigurationError

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
)
"""The signature algorithms that can be allowed: asymmetric ones (RFC 7518 section 3, RFC 8037 section 3.1)."""

KEYCLOAK_ROLES = "realm_access.roles"
"""Where roles are looked for when `roles_claim` is `roles`, the default, and the token has no such claim."""


def check_issuers(issuers: Sequence[IssuerSettings]) -> None:
    """Raise ConfigurationError, naming the key, for the first setting that cannot be used."""
    seen: set[str] = set()
    for index, settings in enumerate(issuers):
        at = f"issuers[{index}]"
        if settings.issuer in seen:
            raise ConfigurationError(f"{at}.issuer: {settings.issuer!r} is listed twice")
        seen.add(settings.issuer)
        _check_stated(at, settings)
        _check_algorithms(at, settings.algorithms)
        _check_keys(at, settings)
        _check_bounds(at, settings)


def _check_stated(at: str, settings: IssuerSettings) -> None:
    for key in ("issuer", "keys", "roles_claim", "scopes_claim", "subject_type"):
        if not getattr(settings, key):
            raise ConfigurationError(f"{at}.{key}: must not be empty")
    for key in ("audiences", "algorithms", "token_types"):
        values = getattr(settings, key)
        if not values or not all(values):
            raise ConfigurationError(f"{at}.{key}: must list at least one value, and no empty one")


def _check_algorithms(at: str, algorithms: tuple[str, ...]) -> None:
    for name in algorithms:
        if name not in ALGORITHMS:
            raise ConfigurationError(
                f"{at}.algorithms: {name!r} is not allowed; only asymmetric algorithms are: "
                f"{', '.join(sorted(ALGORITHMS))}"
            )


def _check_keys(at: str, settings: IssuerSettings) -> None:
    if not is_url(settings.keys):
        return
    try:
        url = urlsplit(settings.keys)
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ConfigurationError(f"{at}.keys: must be a file or an https:// URL")
    if url.username is not None or url.password is not None:
        raise ConfigurationError(f"{at}.keys: must not hold a user name or a password")
    if url.scheme == "http" and not _is_loopback(url.hostname) and not settings.keys_over_http:
        raise ConfigurationError(
            f"{at}.keys: http:// is only for loopback, whoever is on the path could hand out keys; use https:// "
            f"(or state {at}.keys_over_http = true)"
        )


def _check_bounds(at: str, settings: IssuerSettings) -> None:
    if not 0 <= settings.leeway_seconds <= 300:
        raise ConfigurationError(f"{at}.leeway_seconds: must be 0 to 300")
    if settings.max_lifetime_seconds <= 0:
        raise ConfigurationError(f"{at}.max_lifetime_seconds: must be more than 0")


def is_url(keys: str) -> bool:
    """Whether `keys` names a URL; anything else is a file."""
    return "://" in keys


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
