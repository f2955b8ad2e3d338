"""The rotations of the node's key that its own stream records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.extent import extents, line_blocks
from authz.audit.record import read_header
from authz.audit.rollup_record import AUDITOR
from authz.audit.rotation_record import KEY_ROTATED, Rotation, read_rotation
from authz.audit.successors import successors
from authz.audit.trust import Trust

_MARK: Final = b'"type":"%b"' % KEY_ROTATED.encode()


class RecordedRotation(NamedTuple):
    """A rotation and when it was recorded, as records write time."""

    ts: str
    rotation: Rotation


def trust_after_rotations(trust: Trust, audit: Path) -> Trust:
    """The keys of a ledger with those that they speak for. Records that were pruned speak no more."""
    rotations = [one.rotation for one in recorded_rotations(audit)] if trust.keys else []
    while (wider := trust.after(rotations)) != trust:
        trust = wider
    return trust


def recorded_rotations(audit: Path) -> list[RecordedRotation]:
    """All that can be read: what cannot is for the check of the stream to name. Each is signed by both of its keys."""
    found: list[RecordedRotation] = []
    try:
        for stream in (AUDITOR, *successors(audit, AUDITOR)):
            found += _recorded(audit / stream)
    except OSError:
        return found
    return found


def rotation_in(line: bytes) -> Rotation | None:
    """What a record says, if it is one of a rotation that can be read."""
    if _MARK not in line[:512]:
        return None
    try:
        return read_rotation(line)
    except ValueError:
        return None


def _recorded(directory: Path) -> Iterator[RecordedRotation]:
    for extent in extents(directory):
        for lines, _ in line_blocks(extent.path, extent.counted_bytes):
            for line in lines:
                rotation = rotation_in(line)
                if rotation is not None:
                    yield RecordedRotation(read_header(line).ts, rotation)
