"""The node's own word on all its streams: the newest roll-up record under its checkpoint, with its proof."""

from pathlib import Path
from typing import Final

from authz.audit.evidence.covered import NotCoveredError, covered
from authz.audit.evidence.proving import newest_first, proof_of
from authz.audit.location import LedgerDamagedError
from authz.audit.rollup_record import AUDITOR, ROLLUP, read_rollup
from authz.tlog import TlogProof

_NEEDLE: Final = b'"type":"audit.rollup"'


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
    directory = audit / AUDITOR
    if not directory.is_dir():
        return None
    try:
        found = covered(directory)
    except NotCoveredError:
        return None
    for header, spot in newest_first(directory, _NEEDLE):
        if header.type == ROLLUP and spot.index < found.checkpoint.size:
            try:
                return NodeProof(proof_of(found, spot))
            except ValueError as error:
                raise LedgerDamagedError(f"{spot}: {error}") from None
    return None
