"""The ledger: an append-only, hash-chained record of every decision, durable before the reply leaves."""

from authz.audit.files import Files
from authz.audit.record import MAX_RECORD_BYTES, InvalidEventError, RecordTooLargeError
from authz.audit.recovery import Recovery, Tail
from authz.audit.writer import LedgerWriter, WriterLimits
from authz.core import EVENT_TYPES

__all__ = [
    "EVENT_TYPES",
    "MAX_RECORD_BYTES",
    "Files",
    "InvalidEventError",
    "LedgerWriter",
    "RecordTooLargeError",
    "Recovery",
    "Tail",
    "WriterLimits",
]
