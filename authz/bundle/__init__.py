"""Policy bundles: read, verified against a digest or signatures, packed, signed; and the `opa` that builds them."""

from authz.bundle.archive import Limits, pack, unpack, write
from authz.bundle.digest import SHA256 as SHIPPED_SHA256
from authz.bundle.errors import (
    AlteredError,
    BundleError,
    KeyRefusedError,
    OpaMissingError,
    SignatureError,
    UnsignedError,
)
from authz.bundle.inspection import Inspection, inspect
from authz.bundle.keys import (
    KeyAlgorithm,
    SigningKey,
    VerificationKey,
    read_signing_key,
    read_verification_key,
    verification_key,
)
from authz.bundle.opa import Opa, find_opa
from authz.bundle.reader import (
    CASES,
    DATA,
    MANIFEST,
    MODULE,
    BuiltWith,
    Bundle,
    Manifest,
    read,
    read_again,
    verify_digest,
)
from authz.bundle.shipped import read_shipped, shipped_archive
from authz.bundle.signatures import SIGNATURES, UnverifiedSignature, unverified_signatures
from authz.bundle.signing import countersign, sign
from authz.bundle.verification import Signed, verify_signatures

__all__ = [
    "CASES",
    "DATA",
    "MANIFEST",
    "MODULE",
    "SHIPPED_SHA256",
    "SIGNATURES",
    "AlteredError",
    "BuiltWith",
    "Bundle",
    "BundleError",
    "Inspection",
    "KeyAlgorithm",
    "KeyRefusedError",
    "Limits",
    "Manifest",
    "Opa",
    "OpaMissingError",
    "SignatureError",
    "Signed",
    "SigningKey",
    "UnsignedError",
    "UnverifiedSignature",
    "VerificationKey",
    "countersign",
    "find_opa",
    "inspect",
    "pack",
    "read",
    "read_again",
    "read_shipped",
    "read_signing_key",
    "read_verification_key",
    "shipped_archive",
    "sign",
    "unpack",
    "unverified_signatures",
    "verification_key",
    "verify_digest",
    "verify_signatures",
    "write",
]
