"""Sealed segments: nothing is ever added to them, so they can be compressed, copied and, one day, dropped."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from authz.audit.extent import Extent, extents, lines_backward, lines_forward
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError
from authz.audit.new_file import digest_of
from authz.audit.record import ORIGIN, PREV, Header, chain_hash, read_header
from authz.audit.segment import first_seq
from authz.audit.stored import open_segment
from authz.tlog import CompactRange, leaf_hash


class Sealed(NamedTuple):
    """A segment whose records have the indexes `first` up to but not including `end` in the stream's tree.

    `size_bytes` of its uncompressed file, of which `counted_bytes` are records that count.
    """

    path: Path
    first: int
    end: int
    size_bytes: int
    counted_bytes: int
    first_ts: str

    @property
    def name(self) -> str:
        """Its name, that of the raw file."""
        return self.path.name

    def last_ts(self) -> str:
        """Time of its last record. Raises LedgerUnreadableError."""
        return _last_header(self.path, self.counted_bytes).ts


class Position(NamedTuple):
    """Between two records of a stream: the tree over those before, and the hash of the last of them."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()
    chain_hash: bytes = ORIGIN

    def tree(self) -> CompactRange:
        """The tree over the records before."""
        return CompactRange(self.size, self.hashes)


def sealed_segments(directory: Path) -> list[Sealed]:
    """The sealed segments of a stream, oldest first, up to the first one that cannot be read.

    Sealed are those that another one follows, and the last one if it was closed. Raises LedgerUnreadableError.
    """
    try:
        found = extents(directory)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    sealed: list[Sealed] = []
    for extent, following in zip(found, [*found[1:], None], strict=True):
        end = _end(extent, following)
        if extent.header is None or end is None:
            break
        first = first_seq(extent.path.name) - 1
        sealed.append(Sealed(extent.path, first, end, extent.size_bytes, extent.counted_bytes, extent.header.ts))
    return sealed


def _end(extent: Extent, following: Extent | None) -> int | None:
    """Index after its last record; None while records may still be added, or when that is not known."""
    if following is not None:
        opening = following.opening
        follows = opening is not None and opening.previous_segment == extent.path.name
        return first_seq(following.path.name) - 1 if follows else None
    try:
        last = _last_header(extent.path, extent.counted_bytes)
    except LedgerUnreadableError:
        return None
    return last.seq if last.type == "audit.segment_close" else None


def _last_header(path: Path, end: int) -> Header:
    try:
        return read_header(next(lines_backward(path, end)))
    except OSError as error:
        raise LedgerUnreadableError(f"{path}: {error.strerror}") from None
    except (ValueError, StopIteration):
        raise LedgerUnreadableError(f"{path}: its last record cannot be read") from None


def span(path: Path, size_bytes: int) -> tuple[str, str]:
    """Times of the first and the last record of a segment. Raises LedgerUnreadableError."""
    try:
        first = read_header(next(lines_forward(path, size_bytes)))
    except OSError as error:
        raise LedgerUnreadableError(f"{path}: {error.strerror}") from None
    except (ValueError, StopIteration):
        raise LedgerUnreadableError(f"{path}: its first record cannot be read") from None
    return first.ts, _last_header(path, size_bytes).ts


def walk(segments: list[Sealed], start: Position) -> Iterator[tuple[Sealed, str, Position]]:
    """Read segments in order, from `start` on: each with the SHA-256 (hex) of its whole file and where it ends.

    Every record is checked against the chain and added to the tree; whether that is the tree that was signed is for
    the caller to find out (`published.check_beginning`). Raises LedgerDamagedError when a segment does not go on from
    the one before, LedgerUnreadableError.
    """
    position = start
    for segment in segments:
        if segment.first != position.size:
            raise _damaged(segment, f"it begins with record {segment.first + 1}, not with {position.size + 1}")
        try:
            position = _through(segment, position)
            with open_segment(segment.path) as file:
                digest = digest_of(file)
        except OSError as error:
            raise LedgerUnreadableError(f"{segment.path}: {error.strerror}") from None
        yield segment, digest, position


def _through(segment: Sealed, start: Position) -> Position:
    prev = start.chain_hash
    leaves: list[bytes] = []
    for line in lines_forward(segment.path, segment.counted_bytes):
        record = line[:-1]
        if record[PREV] != prev or line[-1:] != b"\n":
            raise _damaged(segment, f"record {segment.first + len(leaves) + 1} does not follow the one before it")
        prev = chain_hash(record)
        leaves.append(leaf_hash(record))
    if len(leaves) != segment.end - segment.first:
        raise _damaged(segment, f"it holds {len(leaves)} records, not {segment.end - segment.first}")
    tree = start.tree()
    tree.extend(leaves)
    return Position(tree.size, tree.hashes, prev)


def _damaged(segment: Sealed, what: str) -> LedgerDamagedError:
    return LedgerDamagedError(f"{segment.path.parent.name}/{segment.name} is not what was recorded: {what}")
