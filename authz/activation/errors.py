"""Why a bundle is not put in force. Each code is the event's reason, the metric's label, a row of docs/bundles.md."""

from authz.bundle import BundleError
from authz.core import AuthzError, BadRequestError


class SequenceError(BundleError):
    """The bundle is older than one that was in force, or claims the same place in the sequence."""

    code = "bundle_sequence"


class ConflictError(BundleError):
    """Another bundle of the same revision is kept: records that name the revision could mean either."""

    code = "bundle_conflict"


class TruncatedError(BundleError):
    """The bundle ended before its end."""

    code = "bundle_truncated"


class ShadowError(AuthzError):
    """Beside the policy in force it decided otherwise too often."""

    code = "policy_shadow"


class ReplayError(AuthzError):
    """Too many of the newest decisions would have come out otherwise, or nobody can say how many."""

    code = "policy_replay"


class ChangedError(AuthzError):
    """While a command was carried out another policy was put in force, which whoever gave it had not seen."""

    code = "policy_changed"


class SourceError(AuthzError):
    """The source gave no bundle: not there, not reached, or not allowed."""

    code = "source_unavailable"


class NotKeptError(BadRequestError):
    """There is no such revision in the state directory, or it must not be put in force."""
