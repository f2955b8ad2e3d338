"""Which segments of a stream may go, why not more of them, and the check that they are what was signed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.archive_files import check_content, segment_path
from authz.audit.hold import Hold
from authz.audit.location import LedgerDamagedError
from authz.audit.manifest import ArchivedSegment, manifests
from authz.audit.new_file import file_digest
from authz.audit.prune_record import Pruned, PrunedSegment, pruned
from authz.audit.published import check_beginning
from authz.audit.sealed import Position, Sealed, sealed_segments, walk
from authz.audit.segment import segment_names
from authz.tlog import Checkpoint

YOUNGEST: Final = 2
"""As many of the newest segments of a stream always stay: the writer goes on from them."""


class ArchiveOfStream(NamedTuple):
    """What an archive holds of one stream. `sha256` of the newest manifest, which stands for all of them."""

    directory: Path
    segments: Mapping[str, ArchivedSegment]
    sha256: str | None

    @classmethod
    def read(cls, directory: Path, stream: str) -> "ArchiveOfStream":
        """Raises LedgerDamagedError, LedgerUnreadableError."""
        kept = manifests(directory, stream)
        segments = {one.name: one for each in kept for one in each.manifest.segments}
        return cls(directory, segments, kept[-1].sha256 if kept else None)

    def check(self, segment: Sealed, digest: str) -> None:
        """Read the copy back: is it, on its device, the segment with this digest? LedgerDamagedError, OSError."""
        stated = self.segments[segment.name]
        path = segment_path(self.directory, segment.path.parent.name, segment.name)
        if stated.sha256 != digest or file_digest(path) != stated.stored_sha256:
            raise LedgerDamagedError(f"{path} is not a copy of {segment.path.parent.name}/{segment.name}")
        check_content(path, digest)


class Plan(NamedTuple):
    """`segments` may go. `refused`: why the next one may not, though it is old enough."""

    segments: tuple[Sealed, ...] = ()
    refused: str | None = None


def plan(
    directory: Path,
    begin: Position,
    before: str,
    covered: int,
    holds: Sequence[Hold],
    archive: ArchiveOfStream | None,
) -> Plan:
    """The oldest segments, in their order, in which every record is older than `before` and covered.

    The first one that has to stay ends it: a stream has no holes. Raises LedgerUnreadableError.
    """
    young = segment_names(directory)[-YOUNGEST:]
    due: list[Sealed] = []
    for segment in sealed_segments(directory):
        if segment.first < begin.size:
            continue
        if segment.name in young or segment.last_ts() >= before:
            break
        why = _why_not(segment, covered, holds, archive)
        if why is not None:
            return Plan(tuple(due), f"{directory.name}/{segment.name} and what follows it stays: {why}")
        due.append(segment)
    return Plan(tuple(due))


def _why_not(segment: Sealed, covered: int, holds: Sequence[Hold], archive: ArchiveOfStream | None) -> str | None:
    for hold in holds:
        if hold.covers(segment.path.parent.name, segment.first_ts, segment.last_ts()):
            return f"it is under the hold {hold.hold} ({hold.reason})"
    if segment.end > covered:
        return f"the signed checkpoint covers {covered} records of the stream, and it ends with record {segment.end}"
    if archive is not None and segment.name not in archive.segments:
        return f"{archive.directory} does not hold it"
    return None


def checked(
    stream: str,
    segments: Sequence[Sealed],
    begin: Position,
    checkpoint: Checkpoint,
    tiles: Path,
    archive: ArchiveOfStream | None,
    reason: str,
    progress: Callable[[int], None],
) -> Pruned:
    """The record of the prune of these segments, once each is found to be what was signed, and archived.

    Raises LedgerDamagedError, LedgerUnreadableError, OSError.
    """
    end, gone = begin, []
    for segment, digest, position in walk(list(segments), begin):
        if archive is not None:
            archive.check(segment, digest)
        gone.append(PrunedSegment(segment.name, segment.size_bytes, digest))
        end = position
        progress(segment.size_bytes)
    check_beginning(stream, end.tree(), checkpoint, tiles)
    sha256 = archive.sha256 if archive is not None else None
    return pruned(stream, end.tree(), end.chain_hash, tuple(gone), archive_sha256=sha256, reason=reason)
