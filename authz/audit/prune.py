"""Prune: drop the oldest segments of a stream so that all that stays can still be proved.

What goes is sealed, whole, under a signed checkpoint, under no hold and, unless that is renounced, in an archive that
was read back. A record in the stream `cli` says so before the first file goes. Nothing else ever removes a record.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from authz.audit.archive_files import check_apart
from authz.audit.command_check import check_commands
from authz.audit.files import Files
from authz.audit.hold import Hold, holds
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, stream_directories
from authz.audit.offline import is_of_commands, record_offline
from authz.audit.prune_plan import ArchiveOfStream, checked, plan
from authz.audit.prune_record import PRUNE, Pruned
from authz.audit.pruned import begin_of, prunes
from authz.audit.published import checkpoint_note, public_keys, signed_checkpoint, tiles_directory
from authz.audit.removal import Removal, keep_edge, remove
from authz.audit.segment import ledger_event
from authz.audit.stored import stored_bytes
from authz.audit.upkeep import upkeep
from authz.core import BadRequestError
from authz.tlog import TlogError, VerifierKey

WAIT_SECONDS: Final = 60.0


class PrunedStream(Struct, frozen=True, kw_only=True):
    """What a prune did with one stream, or would do.

    `segments` went, `freed_bytes` of disk with them; it begins after the record `minimum_index` now. `finished`:
    segments that an earlier prune had left. `refused`: why not all went that is old enough.
    """

    stream: str
    minimum_index: int
    segments: tuple[str, ...] = ()
    freed_bytes: int = 0
    finished: tuple[str, ...] = ()
    refused: str | None = None


class PruneRequest(NamedTuple):
    """What to drop: of these streams (all but `cli`, where there are none) what was recorded before `before`.

    `archive`: drop only what this archive holds; None: drop it without one. `dry_run`: look and say, change nothing.
    """

    before: str
    archive: Path | None
    reason: str = "retention"
    streams: Sequence[str] = ()
    dry_run: bool = False


def _nobody(_size_bytes: int) -> None:
    """The listener of those who do not watch."""


def prune(
    audit: Path, request: PruneRequest, *, files: Files | None = None, progress: Callable[[int], None] = _nobody
) -> tuple[PrunedStream, ...]:
    """Drop what may go, and finish what an earlier prune left. `progress`: uncompressed bytes of each segment.

    What may not go is said of its stream and holds up no other one. Raises LedgerDamagedError when the records of
    holds cannot be relied on; BadRequestError, LedgerUnreadableError, UpkeepBusyError, AuditUnavailableError.
    """
    directories = _chosen(audit, request.streams)
    if request.archive is not None:
        check_apart(audit, request.archive)
    try:
        with upkeep(audit, WAIT_SECONDS):
            keys = public_keys(audit)
            check_commands(audit, keys)
            run = _Run(audit, request, keys, holds(audit), files or Files(), progress)
            records = prunes(audit)
            return tuple(run.stream(each, records.get(each.name, [])) for each in directories)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename or audit}: {error.strerror}") from None


def _chosen(audit: Path, streams: Sequence[str]) -> list[Path]:
    found = {each.name: each for each in stream_directories(audit) if not is_of_commands(each.name)}
    for stream in streams:
        if is_of_commands(stream):
            raise BadRequestError(f"stream: {stream!r} is never pruned: the holds and the prune records are in it")
        if stream not in found:
            raise BadRequestError(f"stream: there is no {stream!r}; there are {', '.join(found) or 'none'}")
    return [directory for name, directory in found.items() if not streams or name in streams]


class _Run:
    """One prune: what is the same for every stream."""

    def __init__(
        self,
        audit: Path,
        request: PruneRequest,
        keys: Sequence[VerifierKey],
        in_force: Sequence[Hold],
        files: Files,
        progress: Callable[[int], None],
    ) -> None:
        self._audit = audit
        self._request = request
        self._keys = keys
        self._holds = in_force
        self._files = files
        self._progress = progress

    def stream(self, directory: Path, records: Sequence[Pruned]) -> PrunedStream:
        """Finish what is begun, then find out, record and remove."""
        done = PrunedStream(stream=directory.name, minimum_index=begin_of(records).size)
        try:
            finished = self._remove(directory, records)
            done = replace(
                done,
                freed_bytes=finished.freed_bytes,
                finished=finished.removed,
                refused="; ".join(finished.left) or None,
            )
            return done if finished.left else self._drop(directory, records, done)
        except (LedgerDamagedError, LedgerUnreadableError, TlogError) as error:
            return replace(done, refused=str(error))

    def _drop(self, directory: Path, records: Sequence[Pruned], done: PrunedStream) -> PrunedStream:
        stream, request, begin = directory.name, self._request, begin_of(records)
        note = checkpoint_note(self._audit, stream)
        checkpoint = None if note is None else signed_checkpoint(note, stream, self._keys)
        archive = None if request.archive is None else ArchiveOfStream.read(request.archive, stream)
        covered = 0 if checkpoint is None else checkpoint.size
        segments, refused = plan(directory, begin, request.before, covered, self._holds, archive)
        if checkpoint is None or not segments:
            return replace(done, refused=refused)
        tiles = tiles_directory(self._audit, stream)
        record = checked(stream, segments, begin, checkpoint, tiles, archive, request.reason, self._progress)
        if request.dry_run:
            gone = Removal(tuple(one.name for one in segments), sum(stored_bytes(one.path) for one in segments))
        else:
            keep_edge(tiles, record.minimum_index, checkpoint.size, self._files)
            record_offline(self._audit, [ledger_event(PRUNE, record)])
            gone = self._remove(directory, [*records, record])
        return replace(
            done,
            minimum_index=record.minimum_index,
            segments=gone.removed,
            freed_bytes=done.freed_bytes + gone.freed_bytes,
            refused="; ".join(gone.left) or refused,
        )

    def _remove(self, directory: Path, records: Sequence[Pruned]) -> Removal:
        if self._request.dry_run:
            return Removal()
        return remove(directory, tiles_directory(self._audit, directory.name), records, self._holds, self._files)
