"""Which records of a stream may be gone: what the prune records say."""

from pathlib import Path

from authz.audit.location import LedgerUnreadableError
from authz.audit.offline import offline_records
from authz.audit.prune_record import PRUNE, Pruned, read_pruned


def pruned_before(audit: Path, stream: str, first_seq: int) -> Pruned | None:
    """The prune record of `stream` by which all records before `first_seq` are gone; None when there is none.

    Of several, the one that takes least. What it says is believed as far as the tree that grows from it has the roots
    that were signed. Read when segments are found to be gone, it is always there: it is written before they go.
    """
    found = [record for record in _records(audit) if record.stream == stream]
    found = [record for record in found if record.minimum_index >= first_seq - 1]
    return min(found, key=lambda record: record.minimum_index, default=None)


def _records(audit: Path) -> list[Pruned]:
    """All that can be read: what cannot is for the check of the stream they are in to name."""
    found = []
    try:
        for line in offline_records(audit, PRUNE):
            record = _read(line)
            if record is not None:
                found.append(record)
    except LedgerUnreadableError:
        return found
    return found


def _read(line: bytes) -> Pruned | None:
    try:
        return read_pruned(line)
    except ValueError:
        return None
