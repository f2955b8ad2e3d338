"""Beginning the stream that goes on after another: `worker-0.1` after `worker-0`.

A stream that was put back to an older state, or is damaged beyond what its readers accept, is not repaired. By an
operator's command, with a reason, the next one begins. The old one stays as it is and is verified as before; the
stream `cli` and the new stream itself say durably which one was left, where it stood and why.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from authz.audit.extent import extents, lines_backward
from authz.audit.location import LedgerUnreadableError
from authz.audit.lock import StreamLock
from authz.audit.offline import is_of_commands, record_offline
from authz.audit.record import chain_hash, read_header
from authz.audit.segment import ledger_event, stream_directory
from authz.audit.successors import newest_successor, numbered, split_number
from authz.core import BadRequestError


class StreamBegun(Struct, frozen=True, kw_only=True):
    """Body of `audit.stream_begun`.

    `after_seq` and `after_hash`: number and SHA-256 of the last record that could be read in the stream that was
    left; 0 and None where there was none. `uid`: the operating system's number of the user who gave the command.
    """

    successor: str
    after: str
    after_seq: int
    after_hash: str | None
    reason: str
    uid: int


def begin_successor(audit: Path, after: str, reason: str) -> StreamBegun:
    """Begin the stream that goes on after `after`, which nobody may be writing. Not from within an event loop.

    What it did is durable when it returns. Given again after a failure it goes on where it stopped. Raises
    BadRequestError, LedgerUnreadableError, or AuditUnavailableError when another process writes one of the streams.
    """
    directory = stream_directory(audit, after)
    if not reason.strip():
        raise BadRequestError("reason: must say why the stream is left")
    if not directory.is_dir() and not (audit / "tiles" / after).is_dir():
        raise BadRequestError(f"after: there is no stream {after!r}, and none was ever signed")
    base, number = _base(audit, after)
    if (newest := newest_successor(audit, base)) != after:
        raise BadRequestError(f"after: {newest!r} goes on after {after!r} already; state that one if it is to be left")
    with _nobody_writes(directory):
        seq, last = _end(directory)
        successor = numbered(base, number + 1)
        begun = StreamBegun(
            successor=successor, after=after, after_seq=seq, after_hash=last, reason=reason, uid=os.getuid()
        )
        _record(audit, begun)
    return begun


@contextmanager
def _nobody_writes(directory: Path) -> Iterator[None]:
    """A stream that has vanished stays vanished: not even a lock is left where it was."""
    if not directory.is_dir():
        yield
        return
    lock = StreamLock.take(directory)
    try:
        yield
    finally:
        lock.release()


def _record(audit: Path, begun: StreamBegun) -> None:
    """First in the stream of commands, so that no successor is there without a word; then in the successor."""
    if not is_of_commands(begun.after):
        record_offline(audit, [ledger_event("audit.stream_begun", begun)])
    record_offline(audit, [ledger_event("audit.stream_begun", begun)], begun.successor)


def _base(audit: Path, stream: str) -> tuple[str, int]:
    """A numbered name is a successor's only if there is, or was signed, a stream of the name before the number."""
    base, number = split_number(stream)
    known = (audit / base).is_dir() or (audit / "tiles" / base).is_dir()
    return (base, number) if known else (stream, 0)


def _end(directory: Path) -> tuple[int, str | None]:
    if not directory.is_dir():
        return 0, None
    try:
        for extent in reversed(extents(directory)):
            for line in lines_backward(extent.path, extent.counted_bytes):
                try:
                    return read_header(line).seq, chain_hash(line).decode()
                except ValueError:
                    continue
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    return 0, None
