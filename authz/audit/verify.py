"""Verification: reads a ledger from disk and says what is wrong with it, where, and what it could not know.

The chain is checked on raw bytes: line by line, across segments, only what counts. A chain alone cannot find a change
of the very last record, a cut at the end, or a ledger rewritten as a whole; only a signed checkpoint can.
"""

from collections.abc import Callable
from pathlib import Path

from authz.audit.findings import Issue, Verification
from authz.audit.location import stream_directories
from authz.audit.stream_check import StreamCheck


def verify_audit_integrity(path: Path | str | None = None) -> tuple[bool, list[Issue]]:
    """Whether the ledger is intact, and what is wrong with it.

    `path` is a state directory, an audit directory or the directory of one stream; without it, the state directory
    that AUTHZ_STATE names, else `.state`. True comes with an empty list. What is no damage is left out: see `verify`.

    Raises LedgerUnreadableError when there is no ledger to look at: that is neither yes nor no.
    """
    found = verify(path)
    return found.intact, list(found.issues)


def _nobody(_size_bytes: int) -> None:
    """The listener of those who do not watch."""


def verify(
    path: Path | str | None = None, *, parse: bool = True, progress: Callable[[int], None] = _nobody
) -> Verification:
    """Read every stream under `path` (see `verify_audit_integrity`) and say all that can be said.

    With `parse` off only the chain, the segments and their first and last records are looked at, which is about
    twice as fast and misses only numbers and times that somebody chained wrongly. `progress` is called with the
    number of bytes read since the last call. A running writer is no hindrance.

    Raises LedgerUnreadableError when there is no ledger.
    """
    checks = [StreamCheck(directory, parse=parse, progress=progress) for directory in stream_directories(path)]
    streams = tuple(check.run() for check in checks)
    issues = tuple(issue for check in checks for issue in check.issues)
    notes = tuple(note for check in checks for note in check.notes)
    return Verification(issues, notes, streams)
