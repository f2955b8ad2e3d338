"""Where ledgers lie: a state directory holds an audit directory, which holds one directory per stream."""

import os
from pathlib import Path
from typing import Final

from authz.audit.lock import LOCK_NAME
from authz.audit.segment import segment_names, void_names
from authz.core import AuthzError

DEFAULT_STATE: Final = ".state"


class LedgerUnreadableError(AuthzError):
    """There is no ledger where one was looked for, or it cannot be read: neither intact nor damaged is known."""

    code = "audit_unreadable"


class LedgerDamagedError(AuthzError):
    """What lies there is not what was recorded or signed. `authz audit verify` says more."""

    code = "audit_damaged"


class NoSuchEventError(AuthzError):
    """The ledger holds no such event."""

    code = "audit_no_such_event"


def state_directory(state: Path | str | None = None) -> Path:
    """The state directory that is meant: by default that of AUTHZ_STATE, else `.state`."""
    return Path(os.environ.get("AUTHZ_STATE") or DEFAULT_STATE) if state is None else Path(state)


def audit_directory(state: Path | str | None = None) -> Path:
    """The audit directory of a state directory, by default that of AUTHZ_STATE, else of `.state`.

    Raises LedgerUnreadableError when there is none.
    """
    root = state_directory(state)
    found = root.resolve() / "audit"
    if not found.is_dir():
        raise LedgerUnreadableError(f"{root}: there is no ledger in it")
    return found


def stream_directories(path: Path | str | None = None) -> list[Path]:
    """The streams under a state directory, an audit directory or a stream's own directory, by name.

    Without a path: the state directory that AUTHZ_STATE names, else `.state`. Raises LedgerUnreadableError when
    there is no stream.
    """
    root = state_directory(path)
    try:
        found = [root.resolve()] if _is_stream(root) else _streams_in(root)
    except OSError as error:
        raise LedgerUnreadableError(f"{root}: {error.strerror}") from None
    if not found:
        raise LedgerUnreadableError(f"{root}: there is no ledger in it")
    return found


def _streams_in(root: Path) -> list[Path]:
    audit = root / "audit"
    inside = audit if audit.is_dir() else root
    return sorted(child for child in inside.iterdir() if child.is_dir() and _is_stream(child))


def _is_stream(directory: Path) -> bool:
    return bool(segment_names(directory)) or bool(void_names(directory)) or (directory / LOCK_NAME).is_file()
