"""The errors of the whole program: one base, one subclass per cause, each with a stable code.

A deny is never an error: an error here means that something could not be done. The code of an error is the same
string in JSON bodies, logs, metric labels and the documentation.
"""

from typing import ClassVar


class AuthzError(Exception):
    """Something could not be done; `code` says what, the message says which field and the fix."""

    code: ClassVar[str] = "internal"


class ConfigurationError(AuthzError):
    """A setting is missing, unknown or wrong. The message names the key."""

    code = "configuration"


class BadRequestError(AuthzError):
    """What the caller sent cannot be read. The message names the field."""

    code = "bad_request"


class TooLargeError(AuthzError):
    """What the caller sent is over a stated limit."""

    code = "too_large"


class AuditUnavailableError(AuthzError):
    """The ledger could not make a record durable: whatever it was about does not leave the house."""

    code = "audit_unavailable"


class OverloadedError(AuthzError):
    """The ledger's queue is full. The caller may try again shortly."""

    code = "overloaded"
