"""Which policy is in force: where bundles come from, what is asked of them, and how one takes another's place."""

from authz.activation.activation import Activation, Record
from authz.activation.errors import NotKeptError, SourceError
from authz.activation.following import Following
from authz.activation.kept import kept_bundle
from authz.activation.status import PolicyStatus, Rejected, Shadowing

__all__ = [
    "Activation",
    "Following",
    "NotKeptError",
    "PolicyStatus",
    "Record",
    "Rejected",
    "Shadowing",
    "SourceError",
    "kept_bundle",
]
