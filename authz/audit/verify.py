"""Verification: reads a ledger from disk and says what is wrong with it, where, and what it could not know.

The chain is checked on raw bytes: line by line, across segments, only what counts. A chain alone cannot find a change
of the very last record, a cut at the end, or a ledger rewritten as a whole. So the Merkle tree is computed from the
same lines and held to what was signed of it: the checkpoint beside each stream, the node's roll-up records, the tiles,
and checkpoints that were kept where nobody who can write to the ledger can write.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from authz.audit.findings import Issue, Verification
from authz.audit.kept import read_since
from authz.audit.ledger_check import LedgerCheck, Reader, Scope
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.remembered import Remembered
from authz.audit.rotations import trust_after_rotations
from authz.audit.trust import find_trust
from authz.core import BadRequestError


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
    path: Path | str | None = None,
    *,
    parse: bool = True,
    progress: Callable[[int], None] = _nobody,
    public_keys: Sequence[Path] = (),
    since: Sequence[Path] = (),
    memory: Path | None = None,
    reader: Reader | None = None,
) -> Verification:
    """Read every stream under `path` (see `verify_audit_integrity`) and say all that can be said.

    `public_keys` are files with the node's keys, by default those beside the ledger; `since` are files with
    checkpoints of it that were kept elsewhere. With `memory`, a directory, the checkpoints that are seen are
    remembered there, and the ledger is held to those of the last time.

    With `parse` off the records are not parsed, which misses only numbers and times that somebody chained wrongly.
    `reader` is given the records as they are read, before anything is known of them: what it makes of them counts only
    if the ledger is found intact. A stream of which segments vanish meanwhile is read, and handed over, once more.
    `progress` is called with the number of bytes read since the last call. A running writer is no hindrance, nor is a
    running auditor. Of one stream, nothing is said about the others: the node's roll-up is not looked at.

    Raises LedgerUnreadableError when there is no ledger, BadRequestError for files that are not what they should be.
    """
    directories = tuple(stream_directories(path))
    single = path is not None and directories == (Path(path).resolve(),)
    audit = directories[0].parent
    trust = trust_after_rotations(find_trust(audit, public_keys), audit)
    kept = [read_since(each, trust) for each in since]
    if single and any(each.stream != directories[0].name for each in kept):
        raise BadRequestError(f"--since: not a checkpoint of the stream {directories[0].name}; verify the whole ledger")
    remembered = Remembered(memory, audit, trust)
    kept += [each for each in remembered.kept if not single or each.stream == directories[0].name]
    try:
        check = LedgerCheck(Scope(audit, directories, not single, parse, progress, reader), trust, kept)
        found = check.run()
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    return remembered.after(found, check.heads)
