"""Checkpoints outside of the house: cosigned by witnesses, copied to anchors (docs/ledger.md)."""

from authz.anchoring.anchoring import Anchoring, AnchoringStatus, read_outward
from authz.anchoring.configured import check_outward
from authz.anchoring.errors import HistoryError, OutwardError
from authz.anchoring.pace import OutwardStatus
from authz.anchoring.published import with_cosignatures

__all__ = [
    "Anchoring",
    "AnchoringStatus",
    "HistoryError",
    "OutwardError",
    "OutwardStatus",
    "check_outward",
    "read_outward",
    "with_cosignatures",
]
