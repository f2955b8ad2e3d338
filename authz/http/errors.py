"""Answers to calls that never became a question. They are counted, not recorded."""

from authz.core import AuthzError


class CallerUnauthenticatedError(AuthzError):
    """No configured caller fits this connection."""

    code = "caller_unauthenticated"


class CallerForbiddenError(AuthzError):
    """A known caller asks for something that is not for it."""

    code = "caller_forbidden"


class NotFoundError(AuthzError):
    """There is no such path."""

    code = "not_found"


class MethodNotSupportedError(AuthzError):
    """The path is there, the method is not. `allowed`: those that are."""

    code = "method_not_supported"

    def __init__(self, method: str, *allowed: str) -> None:
        super().__init__(f"{method} is not supported here; use {' or '.join(allowed)}")
        self.allowed = allowed
