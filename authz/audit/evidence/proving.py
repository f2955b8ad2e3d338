"""The proof of one event: that its record stands in the signed log, for whoever has the public key and nothing else."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from authz.audit.evidence.covered import Covered, NotCoveredError, covered, hash_readers
from authz.audit.evidence.leaves import numbered
from authz.audit.extent import extents, lines_backward
from authz.audit.location import LedgerDamagedError, LedgerUnreadableError, NoSuchEventError, stream_directories
from authz.audit.record import Header, read_header
from authz.audit.segment import first_seq
from authz.tlog import TileReader, TlogError, TlogProof, inclusion_proof, leaf_hash, verify_inclusion

_POSITION: Final = re.compile(r"([a-z0-9][a-z0-9_.-]{0,63})/([1-9][0-9]{0,11})")


@dataclass(frozen=True, slots=True)
class Spot:
    """A record and where it stands: `index` is that of its leaf, one less than its number."""

    directory: Path
    index: int
    line: bytes

    def __str__(self) -> str:
        return f"{self.directory.name}/{self.index + 1}"


class Proven(NamedTuple):
    """The exact record of an event and the proof of it, as a file.

    `size`: of the log that was signed as `origin`. `verified`: the node's public key is kept, and the signature holds.
    """

    stream: str
    seq: int
    record: bytes
    proof: bytes
    origin: str
    size: int
    verified: bool


def prove(path: Path | str | None, event: str, *, with_record: bool = True) -> Proven:
    """The proof of an event, given by its id or as STREAM/NUMBER; `path` as in `verify_audit_integrity`.

    It is of the newest checkpoint, and was checked against it. The record is in the proof's `extra` line, so that one
    file is all that a third party needs beside the public key; without `with_record` it is not.

    Raises NoSuchEventError, NotCoveredError while no checkpoint covers the event, LedgerDamagedError when the record
    is not what was signed, LedgerUnreadableError.
    """
    directories = stream_directories(path)
    try:
        spot = _find(directories, event)
        found = covered(spot.directory)
        proof = proof_of(found, spot)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    file = (proof if with_record else replace(proof, extra=b"")).write()
    checkpoint = found.checkpoint
    return Proven(found.stream, spot.index + 1, spot.line, file, checkpoint.origin, checkpoint.size, found.verified)


def proof_of(found: Covered, spot: Spot) -> TlogProof:
    """The proof of the record that stands here, with the record. Raises as `prove` does, and OSError."""
    if spot.index >= found.checkpoint.size:
        raise NotCoveredError(
            f"{spot} is not under a checkpoint yet: the newest one covers {found.checkpoint.size} records. "
            "The auditor signs about once a second; try again"
        )
    with closing(hash_readers(found)) as readers:
        for reader in readers:
            hashes = _hashes(found, spot, reader)
            if hashes is not None:
                return TlogProof(spot.index, hashes, found.note, spot.line)
    raise LedgerDamagedError(f"{spot} is not the record that was signed; `authz audit verify` says more")


def _hashes(found: Covered, spot: Spot, reader: TileReader) -> tuple[bytes, ...] | None:
    """The inclusion proof, None when these hashes do not lead to the root."""
    size, root = found.checkpoint.size, found.checkpoint.root
    try:
        hashes = inclusion_proof(spot.index, size, reader)
        verify_inclusion(spot.index, size, leaf_hash(spot.line), hashes, root)
    except TlogError:
        return None
    return tuple(hashes)


def _find(directories: list[Path], event: str) -> Spot:
    position = _POSITION.fullmatch(event)
    named = [each for each in directories if position is not None and each.name == position[1]]
    if position is not None and named:
        return _at(named[0], int(position[2]) - 1)
    needle = b',"id":%b,' % msgspec.json.encode(event)
    for directory in directories:
        for header, spot in newest_first(directory, needle):
            if header.id == event:
                return spot
    raise NoSuchEventError(f"there is no event {event!r}")


def _at(directory: Path, index: int) -> Spot:
    found = [each for each in extents(directory) if first_seq(each.path.name) <= index + 1]
    for at, line in numbered(found[-1:]):
        if at == index:
            return Spot(directory, index, line)
    raise NoSuchEventError(f"there is no record {directory.name}/{index + 1}")


def newest_first(directory: Path, needle: bytes) -> Iterator[tuple[Header, Spot]]:
    """The records of a stream that hold these bytes and can be read. Raises OSError."""
    for extent in reversed(extents(directory)):
        for line in lines_backward(extent.path, extent.counted_bytes):
            header = _header(line) if needle in line else None
            if header is not None:
                yield header, Spot(directory, header.seq - 1, line)


def _header(line: bytes) -> Header | None:
    """None for a line that verification names."""
    try:
        return read_header(line)
    except ValueError:
        return None
