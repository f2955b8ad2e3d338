"""The rotations of the node's key that its own stream records."""

from pathlib import Path
from typing import Final

from authz.audit.extent import extents, line_blocks
from authz.audit.rollup_record import AUDITOR
from authz.audit.rotation_record import KEY_ROTATED, Rotation, read_rotation
from authz.audit.trust import Trust

_MARK: Final = b'"type":"%b"' % KEY_ROTATED.encode()


def trust_after_rotations(trust: Trust, audit: Path) -> Trust:
    """The keys of a ledger with those that they speak for. Records that were pruned speak no more."""
    rotations = _rotations(audit) if trust.keys else []
    while (wider := trust.after(rotations)) != trust:
        trust = wider
    return trust


def _rotations(audit: Path) -> list[Rotation]:
    """All that can be read: what cannot is for the check of the stream to name. Each is signed by both of its keys."""
    found: list[Rotation] = []
    try:
        for extent in extents(audit / AUDITOR):
            for lines, _ in line_blocks(extent.path, extent.counted_bytes):
                found += [rotation for line in lines if (rotation := _read(line)) is not None]
    except OSError:
        return found
    return found


def _read(line: bytes) -> Rotation | None:
    if _MARK not in line[:512]:
        return None
    try:
        return read_rotation(line)
    except ValueError:
        return None
