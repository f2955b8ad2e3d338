"""What stands between decisions and the ledger: what counts, what may go out unrecorded, and what is said of it."""

from authz.recording.auditor import AuditorChild, AuditorWatch
from authz.recording.checks import ledger_checks
from authz.recording.damage import Damage
from authz.recording.disk import DiskWatch
from authz.recording.gap import Gap
from authz.recording.ledger import GuardedLedger
from authz.recording.mode import Degrading, Mode

__all__ = [
    "AuditorChild",
    "AuditorWatch",
    "Damage",
    "Degrading",
    "DiskWatch",
    "Gap",
    "GuardedLedger",
    "Mode",
    "ledger_checks",
]
