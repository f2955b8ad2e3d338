"""Which bundles are trusted, by configuration."""

from pathlib import Path

from msgspec import Struct

from authz import bundle
from authz.bundle import Bundle, Signed
from authz.config import Settings
from authz.core import ConfigurationError

DEFAULT = "default"
"""The source that is the shipped bundle."""


class TrustedKey(Struct, frozen=True):
    """A public key as its file holds it."""

    key_id: str
    pem: str
    algorithm: str | None


class Trust(Struct, frozen=True):
    """What makes a bundle trusted: exactly one digest, or else enough signatures, or else nothing at all."""

    sha256: str | None
    keys: tuple[TrustedKey, ...]
    signatures_required: int
    max_bytes: int


def trust_in(settings: Settings) -> Trust:
    """The trust that is configured; key files are read. Raises ConfigurationError, KeyRefusedError."""
    policy = settings.policy
    shipped = bundle.SHIPPED_SHA256 if (policy.source or DEFAULT) == DEFAULT else None
    keys = tuple(TrustedKey(each.id, _read(each.file), each.algorithm) for each in policy.keys)
    if not (policy.sha256 or shipped or keys or settings.dev):
        raise ConfigurationError(
            f"policy.keys: nothing says who may sign {policy.source}. Add to the configuration:\n\n"
            '[[policy.keys]]\nid = "release"\nfile = "/etc/authz/release.pub"\n\n'
            "or, to trust exactly one bundle, its digest (`authz policy inspect`):\n\n[policy]\nsha256 = '...'"
        )
    if len({each.key_id for each in keys}) != len(keys):
        raise ConfigurationError("policy.keys: every id may be used once")
    required = policy.signatures_required
    if keys and required > len(keys):
        raise ConfigurationError(f"policy.signatures_required: {required}, with only {len(keys)} in policy.keys")
    for each in keys:
        bundle.verification_key(each.key_id, each.pem.encode(), each.algorithm)
    return Trust(policy.sha256 or shipped, keys, required, policy.max_bytes)


def hold_to_trust(found: Bundle, trust: Trust) -> Signed:
    """Make sure that a bundle is trusted, and say by whom it is signed. Raises BundleError."""
    if trust.sha256 is not None:
        bundle.verify_digest(found, trust.sha256)
        return Signed(0, ())
    if not trust.keys:
        return Signed(0, ())
    keys = [bundle.verification_key(each.key_id, each.pem.encode(), each.algorithm) for each in trust.keys]
    return bundle.verify_signatures(found.members, keys, trust.signatures_required)


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"policy.keys: {file} cannot be read: {error}") from None
