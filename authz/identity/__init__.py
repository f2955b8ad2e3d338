"""Identity: tokens become subjects, ids become pseudonyms. The only room that sees a token's text."""

from authz.config import IssuerSettings
from authz.identity.devkeys import DEV_AUDIENCE, DEV_CLAIMS, DEV_ISSUER, dev_issuer, mint_token
from authz.identity.jwks import KeyStatus
from authz.identity.pseudonym import Pseudonymiser, create_once, load_key, load_or_create_key
from authz.identity.revocation_store import FOREVER, Revocation, RevocationStore, RevocationsUnavailableError
from authz.identity.revocations import Marks, RevocationKind, Revocations, Revoke
from authz.identity.settings import ALGORITHMS, check_issuers
from authz.identity.verifier import Verifier

__all__ = [
    "ALGORITHMS",
    "DEV_AUDIENCE",
    "DEV_CLAIMS",
    "DEV_ISSUER",
    "FOREVER",
    "IssuerSettings",
    "KeyStatus",
    "Marks",
    "Pseudonymiser",
    "Revocation",
    "RevocationKind",
    "RevocationStore",
    "Revocations",
    "RevocationsUnavailableError",
    "Revoke",
    "Verifier",
    "check_issuers",
    "create_once",
    "dev_issuer",
    "load_key",
    "load_or_create_key",
    "mint_token",
]
