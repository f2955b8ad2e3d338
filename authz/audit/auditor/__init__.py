"""The auditor: reads the ledger back from disk, checks it, and signs how far it goes. It alone holds the key."""

from authz.audit.auditor.process import AuditorProcess
from authz.audit.auditor.signed import SigningUnsafeError

__all__ = ["AuditorProcess", "SigningUnsafeError"]
