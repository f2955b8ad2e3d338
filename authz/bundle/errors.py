"""What can be wrong with a bundle, or with the program that makes one."""

from authz.core import AuthzError


class BundleError(AuthzError):
    """The bundle cannot be used: not readable, not complete, or not the one that was meant."""

    code = "bundle_refused"


class UnsignedError(BundleError):
    """The bundle carries fewer good signatures of known keys than are asked for."""

    code = "bundle_unsigned"


class SignatureError(BundleError):
    """A signature is not in the form that counts, or does not verify with the key that it names."""

    code = "bundle_signature"


class AlteredError(BundleError):
    """What the signature says of the files is not what the bundle holds."""

    code = "bundle_altered"


class KeyRefusedError(AuthzError):
    """A key for bundles cannot be read or must not be used. The message names it, and never shows it."""

    code = "bundle_key"


class OpaMissingError(AuthzError):
    """There is no `opa` program new enough. The message says how to get one."""

    code = "opa_missing"
