"""The ledger: an append-only, hash-chained record of every decision, durable before the reply leaves."""

from authz.audit.files import Files
from authz.audit.filters import FILTER_NAMES, Pseudonyms
from authz.audit.findings import Issue, StreamReport, Verification
from authz.audit.location import LedgerUnreadableError
from authz.audit.query import get_audit_events
from authz.audit.record import MAX_RECORD_BYTES, InvalidEventError, RecordTooLargeError
from authz.audit.recovery import Recovery, Tail
from authz.audit.summary import StreamSummary, stream_summaries
from authz.audit.verify import verify, verify_audit_integrity
from authz.audit.writer import LedgerWriter, WriterLimits
from authz.core import EVENT_TYPES

__all__ = [
    "EVENT_TYPES",
    "FILTER_NAMES",
    "MAX_RECORD_BYTES",
    "Files",
    "InvalidEventError",
    "Issue",
    "LedgerUnreadableError",
    "LedgerWriter",
    "Pseudonyms",
    "RecordTooLargeError",
    "Recovery",
    "StreamReport",
    "StreamSummary",
    "Tail",
    "Verification",
    "WriterLimits",
    "get_audit_events",
    "stream_summaries",
    "verify",
    "verify_audit_integrity",
]
