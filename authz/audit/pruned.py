"""What was pruned so far, as the stream `cli` says."""

from collections.abc import Sequence
from pathlib import Path

from authz.audit.location import LedgerUnreadableError
from authz.audit.offline import offline_records
from authz.audit.prune_record import PRUNE, Pruned, read_pruned
from authz.audit.sealed import Position


def prunes(audit: Path) -> dict[str, list[Pruned]]:
    """The prune records of each stream, the one that goes furthest last.

    Nothing of them is verified. Raises LedgerUnreadableError, also for one that cannot be read.
    """
    found: dict[str, list[Pruned]] = {}
    try:
        for line in offline_records(audit, PRUNE):
            record = read_pruned(line)
            if record is not None:
                found.setdefault(record.stream, []).append(record)
    except ValueError as error:
        raise LedgerUnreadableError(f"{audit}: a record of a prune cannot be read: {error}") from None
    return {stream: sorted(records, key=lambda one: one.minimum_index) for stream, records in found.items()}


def begin_of(records: Sequence[Pruned]) -> Position:
    """Where a stream with these prune records begins."""
    if not records:
        return Position()
    last = records[-1]
    return Position(last.minimum_index, last.tree().hashes, last.chain_hash.encode())
