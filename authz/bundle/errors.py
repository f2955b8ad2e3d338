"""What can be wrong with a bundle, or with the program that makes one."""

from authz.core import AuthzError


class BundleError(AuthzError):
    """The bundle cannot be used: not readable, not complete, or not the one that was meant."""

    code = "bundle_refused"


class OpaMissingError(AuthzError):
    """There is no `opa` program new enough. The message says how to get one."""

    code = "opa_missing"
