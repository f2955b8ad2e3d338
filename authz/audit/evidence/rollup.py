"""The node's own word: the newest roll-up record under its checkpoint, with its proof; and how its keys changed."""

from pathlib import Path
from typing import Final

from authz.audit.evidence.covered import Covered, NotCoveredError, covered, keys_path
from authz.audit.evidence.proving import Spot, newest_first, proof_of
from authz.audit.location import LedgerDamagedError
from authz.audit.published import public_keys
from authz.audit.rollup_record import AUDITOR, ROLLUP, read_rollup
from authz.audit.rotation_record import KEY_ROTATED
from authz.audit.successors import successors
from authz.tlog import TlogProof

_NEEDLE: Final = b'"type":"%b"' % ROLLUP.encode()
_ROTATED: Final = b'"type":"%b"' % KEY_ROTATED.encode()


class NodeProof:
    """`sizes`: of each stream, by its origin, the number of records that the node's checkpoint stands for."""

    def __init__(self, proof: TlogProof) -> None:
        rollup = read_rollup(proof.extra)
        self.proof = proof
        self.sizes = {} if rollup is None else {each.origin: each.size for each in rollup.streams}


def node_proof(audit: Path) -> NodeProof | None:
    """The proof of the newest roll-up; None where the node has none under a checkpoint.

    Read it before the checkpoints of the streams: those only grow. Raises LedgerDamagedError, LedgerUnreadableError,
    OSError.
    """
    for directory in reversed(_own_streams(audit)):
        try:
            found = covered(directory)
        except NotCoveredError:
            continue
        for header, spot in newest_first(directory, _NEEDLE):
            if header.type == ROLLUP and spot.index < found.checkpoint.size:
                return _node_proof(found, spot)
    return None


def _node_proof(found: Covered, spot: Spot) -> NodeProof:
    try:
        return NodeProof(proof_of(found, spot))
    except ValueError as error:
        raise LedgerDamagedError(f"{spot}: {error}") from None


def _own_streams(audit: Path) -> list[Path]:
    """The node's own stream, and those that went on after it."""
    return [each for name in (AUDITOR, *successors(audit, AUDITOR)) if (each := audit / name).is_dir()]


def key_rotations(audit: Path) -> list[bytes]:
    """The records in which the node's keys hand over to one another, oldest first; each is signed by both of its keys.

    The node's stream is long, so they are looked for only where more than one key is kept. Raises
    LedgerUnreadableError, OSError.
    """
    if not keys_path(audit).exists() or len(public_keys(audit)) < 2:
        return []
    found: list[bytes] = []
    for directory in _own_streams(audit):
        rotated = [spot.line for header, spot in newest_first(directory, _ROTATED) if header.type == KEY_ROTATED]
        found += reversed(rotated)
    return found
