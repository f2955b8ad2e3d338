"""Archive: copies of sealed, signed segments, with all it takes to check them, in a directory of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from authz.audit.archive_files import ArchiveConflictError, ArchiveFiles, check_apart
from authz.audit.files import Files
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, stream_directories
from authz.audit.manifest import ArchivedSegment, Manifest, Place
from authz.audit.offline import is_of_commands, offline_records, record_offline
from authz.audit.pruned import begin_of, prunes
from authz.audit.published import check_beginning, checkpoint_note, public_keys, signed_checkpoint, tiles_directory
from authz.audit.sealed import Position, Sealed, sealed_segments, walk
from authz.audit.segment import ledger_event, make_directory
from authz.audit.upkeep import upkeep
from authz.core import BadRequestError
from authz.tlog import Checkpoint, TlogError, VerifierKey

ARCHIVED: Final = "audit.archived"

WAIT_SECONDS: Final = 60.0


class Archived(Struct, frozen=True, kw_only=True):
    """Body of `audit.archived`: `archive` holds the records of `stream` up to index `end`, as the manifest says."""

    archive: str
    stream: str
    end: int
    manifest_sha256: str


class ArchivedStream(Struct, frozen=True, kw_only=True):
    """What a run did with one stream. `end`: index after its last archived record. `refused`: why it was not done."""

    stream: str
    end: int = 0
    segments: tuple[str, ...] = ()
    size_bytes: int = 0
    stored_bytes: int = 0
    manifest_sha256: str | None = None
    refused: str | None = None


def _nobody(_size_bytes: int) -> None:
    """The listener of those who do not watch."""


def archive(
    audit: Path,
    to: Path,
    streams: Sequence[str] = (),
    *,
    files: Files | None = None,
    progress: Callable[[int], None] = _nobody,
) -> tuple[ArchivedStream, ...]:
    """Bring the archive `to` up to date with the sealed segments that a signed checkpoint covers.

    `streams`: all by default. What cannot be archived is said of its stream and holds up no other one. `progress` is
    called with the uncompressed bytes of each segment. Raises BadRequestError for a stream that is not there and an
    archive that is the ledger itself, LedgerUnreadableError, UpkeepBusyError, AuditUnavailableError when the archive
    cannot be recorded.
    """
    directories = _chosen(audit, streams)
    check_apart(audit, to)
    keys = public_keys(audit)
    try:
        make_directory(to, files or Files())
        with upkeep(audit, WAIT_SECONDS), upkeep(to, WAIT_SECONDS):
            runs = [_Run(audit, to, directory, keys, files or Files()) for directory in directories]
            done = tuple(run.run(progress) for run in runs)
            _record(audit, to, done)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename or to}: {error.strerror}") from None
    return done


def _chosen(audit: Path, streams: Sequence[str]) -> list[Path]:
    found = {directory.name: directory for directory in stream_directories(audit)}
    for stream in streams:
        if stream not in found:
            raise BadRequestError(f"stream: there is no {stream!r}; there are {', '.join(found)}")
    return [directory for name, directory in found.items() if not streams or name in streams]


def _record(audit: Path, to: Path, done: Sequence[ArchivedStream]) -> None:
    """Record what is not recorded yet, a run that was cut short before it could be, too.

    That of the stream of commands is not: it would be something new to archive each time.
    """
    known = list(offline_records(audit, ARCHIVED))
    events = [
        ledger_event(
            ARCHIVED,
            Archived(archive=str(to.resolve()), stream=one.stream, end=one.end, manifest_sha256=one.manifest_sha256),
        )
        for one in done
        if one.manifest_sha256 is not None
        and not is_of_commands(one.stream)
        and not any(one.manifest_sha256.encode() in line for line in known)
    ]
    if events:
        record_offline(audit, events)


class _Run:
    """One stream, one run."""

    def __init__(self, audit: Path, to: Path, directory: Path, keys: Sequence[VerifierKey], files: Files) -> None:
        self._audit = audit
        self._to = to
        self._directory = directory
        self._stream = directory.name
        self._keys = keys
        self._put = ArchiveFiles(to, files)

    def run(self, progress: Callable[[int], None]) -> ArchivedStream:
        try:
            return self._run(progress)
        except (LedgerDamagedError, LedgerUnreadableError, ArchiveConflictError, TlogError) as error:
            return ArchivedStream(stream=self._stream, refused=str(error))

    def _run(self, progress: Callable[[int], None]) -> ArchivedStream:
        before = self._put.manifests(self._stream)
        last = before[-1] if before else None
        begin = last.manifest.end.position() if last else begin_of(prunes(self._audit).get(self._stream, []))
        note = checkpoint_note(self._audit, self._stream)
        due = self._due(begin, note)
        if note is None or not due:
            sha256 = last.sha256 if last else None
            return ArchivedStream(stream=self._stream, end=begin.size, manifest_sha256=sha256)
        checkpoint = signed_checkpoint(note, self._stream, self._keys)
        if last is not None and last.manifest.origin != checkpoint.origin:
            raise ArchiveConflictError(f"{self._to}: holds the ledger {last.manifest.origin}, not {checkpoint.origin}")
        segments, end = self._segments(due, begin, checkpoint, progress)
        since = last.manifest.checkpoint_size if last else 0
        self._put.put_tiles(self._audit, self._stream, checkpoint.size, since, 0 if last else begin.size)
        manifest = Manifest(
            origin=checkpoint.origin,
            stream=self._stream,
            begin=Place.of(begin),
            end=Place.of(end),
            segments=tuple(segments),
            checkpoint_size=checkpoint.size,
            checkpoint_sha256=self._put.put_checkpoint(self._stream, checkpoint.size, note),
            tiles_since=since,
            keys=tuple(str(key) for key in self._keys),
            previous=last.sha256 if last else None,
        )
        return ArchivedStream(
            stream=self._stream,
            end=end.size,
            segments=tuple(one.name for one in segments),
            size_bytes=sum(one.size_bytes for one in segments),
            stored_bytes=sum(one.stored_bytes for one in segments),
            manifest_sha256=self._put.put_manifest(manifest),
        )

    def _due(self, begin: Position, note: bytes | None) -> list[Sealed]:
        """The sealed segments that the archive does not have and the checkpoint covers."""
        sealed = [one for one in sealed_segments(self._directory) if one.first >= begin.size]
        if sealed and note is None:
            raise LedgerUnreadableError(f"{self._stream} has no signed checkpoint: the auditor has not run")
        if sealed and sealed[0].first > begin.size:
            raise ArchiveConflictError(
                f"{self._to} ends with record {begin.size} of {self._stream}, and what followed is not here any more: "
                f"the oldest segment begins with record {sealed[0].first + 1}; archive to another directory"
            )
        size = 0 if note is None else signed_checkpoint(note, self._stream, self._keys).size
        return [one for one in sealed if one.end <= size]

    def _segments(
        self, due: list[Sealed], begin: Position, checkpoint: Checkpoint, progress: Callable[[int], None]
    ) -> tuple[list[ArchivedSegment], Position]:
        archived, end = [], begin
        tiles = tiles_directory(self._audit, self._stream)
        for segment, digest, position in walk(due, begin):
            check_beginning(self._stream, position.tree(), checkpoint, tiles)
            archived.append(self._put.put_segment(segment, digest))
            end = position
            progress(segment.size_bytes)
        return archived, end
