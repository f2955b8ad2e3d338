"""Policy bundles: read, verified against a digest, packed; and the `opa` program that builds them."""

from authz.bundle.archive import Limits, pack, unpack
from authz.bundle.errors import BundleError, OpaMissingError
from authz.bundle.opa import Opa, find_opa
from authz.bundle.reader import DATA, MANIFEST, MODULE, BuiltWith, Bundle, Manifest, read, verify_digest
from authz.bundle.shipped import read_shipped, shipped_archive

__all__ = [
    "DATA",
    "MANIFEST",
    "MODULE",
    "BuiltWith",
    "Bundle",
    "BundleError",
    "Limits",
    "Manifest",
    "Opa",
    "OpaMissingError",
    "find_opa",
    "pack",
    "read",
    "read_shipped",
    "shipped_archive",
    "unpack",
    "verify_digest",
]
