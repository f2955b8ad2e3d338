"""Changes that somebody has already accepted: one a line, as `authz policy diff` writes them with `--keys`."""

from collections.abc import Iterable
from pathlib import Path

from authz.core import AuthzError
from authz.policy.access.difference import Change


class ApprovalsUnreadableError(AuthzError):
    """The file of accepted changes cannot be read."""

    code = "approvals_unreadable"


def read_approved(path: Path) -> frozenset[str]:
    """The keys in a file: blank lines and what follows a `#` at the start of a line are left out.

    Raises ApprovalsUnreadableError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ApprovalsUnreadableError(f"{path}: cannot be read: {error}") from None
    return frozenset(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def unapproved(changes: Iterable[Change], approved: frozenset[str]) -> list[Change]:
    """Those whose key is not among the accepted ones."""
    return [change for change in changes if change.key not in approved]
