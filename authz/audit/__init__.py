"""The ledger: an append-only, hash-chained record of every decision, durable before the reply leaves."""

from authz.audit.alarms import RULE_NAMES, Trial, try_alarms
from authz.audit.archive import ArchivedStream, archive
from authz.audit.archive_check import CheckedStream, check_archive
from authz.audit.auditor import AuditorProcess, SigningUnsafeError
from authz.audit.compress import Compression, Compressor, compress_sealed
from authz.audit.disk import BALLAST_BYTES, WriteRate, days_left
from authz.audit.evidence.checking import CheckedProof, check_proof
from authz.audit.evidence.covered import NotCoveredError
from authz.audit.evidence.keys import read_node_keys, read_witness_keys
from authz.audit.evidence.package import Evidence, NothingToShowError, verify_evidence, write_evidence
from authz.audit.evidence.policies import KeptPolicy, kept_policy
from authz.audit.evidence.proving import Proven, prove
from authz.audit.files import Files
from authz.audit.filters import FILTER_NAMES, Pseudonyms, read_filter
from authz.audit.findings import Coverage, Issue, StreamReport, TrustedKeys, Verification
from authz.audit.forward import Recorded, records
from authz.audit.hold import Hold, add_hold, holds, lift_hold
from authz.audit.key_history import NodeKey, node_keys
from authz.audit.key_rotation import KeyChange, rotate_key
from authz.audit.limits import WriterLimits
from authz.audit.live import LiveTail
from authz.audit.location import (
    LedgerDamagedError,
    LedgerUnreadableError,
    NoSuchEventError,
    audit_directory,
    state_directory,
)
from authz.audit.mentions import mentions
from authz.audit.moment import duration, moment
from authz.audit.new_key import KeyExistsError, new_node_key
from authz.audit.newest import newest_records
from authz.audit.offline import record_offline
from authz.audit.prune import PrunedStream, PruneRequest, prune
from authz.audit.published import public_keys
from authz.audit.query import IndexUse, Page, events_of, find_event, get_audit_events, get_audit_page
from authz.audit.recent import reported_since
from authz.audit.record import MAX_RECORD_BYTES, InvalidEventError, RecordTooLargeError
from authz.audit.recovery import Recovery, Tail
from authz.audit.remembered import default_memory
from authz.audit.retention import retention_limit
from authz.audit.segment import ledger_event
from authz.audit.served import NODE, NotServedError, served
from authz.audit.status import Alarm, AuditorStatus, StreamStatus, VerificationStatus, read_status
from authz.audit.succession import StreamBegun, begin_successor
from authz.audit.successors import newest_successor
from authz.audit.summary import StreamSummary, oldest_record_at, stream_summaries
from authz.audit.upkeep import UpkeepBusyError
from authz.audit.verify import verify, verify_audit_integrity
from authz.audit.writer import LedgerWriter
from authz.core import EVENT_TYPES

__all__ = [
    "BALLAST_BYTES",
    "EVENT_TYPES",
    "FILTER_NAMES",
    "MAX_RECORD_BYTES",
    "NODE",
    "RULE_NAMES",
    "Alarm",
    "ArchivedStream",
    "AuditorProcess",
    "AuditorStatus",
    "CheckedProof",
    "CheckedStream",
    "Compression",
    "Compressor",
    "Coverage",
    "Evidence",
    "Files",
    "Hold",
    "IndexUse",
    "InvalidEventError",
    "Issue",
    "KeptPolicy",
    "KeyChange",
    "KeyExistsError",
    "LedgerDamagedError",
    "LedgerUnreadableError",
    "LedgerWriter",
    "LiveTail",
    "NoSuchEventError",
    "NodeKey",
    "NotCoveredError",
    "NotServedError",
    "NothingToShowError",
    "Page",
    "Proven",
    "PruneRequest",
    "PrunedStream",
    "Pseudonyms",
    "RecordTooLargeError",
    "Recorded",
    "Recovery",
    "SigningUnsafeError",
    "StreamBegun",
    "StreamReport",
    "StreamStatus",
    "StreamSummary",
    "Tail",
    "Trial",
    "TrustedKeys",
    "UpkeepBusyError",
    "Verification",
    "VerificationStatus",
    "WriteRate",
    "WriterLimits",
    "add_hold",
    "archive",
    "audit_directory",
    "begin_successor",
    "check_archive",
    "check_proof",
    "compress_sealed",
    "days_left",
    "default_memory",
    "duration",
    "events_of",
    "find_event",
    "get_audit_events",
    "get_audit_page",
    "holds",
    "kept_policy",
    "ledger_event",
    "lift_hold",
    "mentions",
    "moment",
    "new_node_key",
    "newest_records",
    "newest_successor",
    "node_keys",
    "oldest_record_at",
    "prove",
    "prune",
    "public_keys",
    "read_filter",
    "read_node_keys",
    "read_status",
    "read_witness_keys",
    "record_offline",
    "records",
    "reported_since",
    "retention_limit",
    "rotate_key",
    "served",
    "state_directory",
    "stream_summaries",
    "try_alarms",
    "verify",
    "verify_audit_integrity",
    "verify_evidence",
    "write_evidence",
]
