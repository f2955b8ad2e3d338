"""The rules tried on recorded history: what they would have raised, and how often."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from authz.audit.alarms.rules import RULE_NAMES
from authz.audit.alarms.watch import Suspicion, Watch
from authz.audit.extent import extents, lines_forward
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.moment import moment
from authz.audit.query import read_event
from authz.config import AlarmSettings

_NEEDLE: Final = b'"decision":"'


class Trial(Struct, frozen=True):
    """What the rules would have raised. `by_rule` has every rule, `decisions` is how many were looked at."""

    since: str
    decisions: int
    by_rule: dict[str, int]
    alarms: tuple[Suspicion, ...]


def _nobody(_size_bytes: int) -> None:
    """The listener of those who do not watch."""


def try_alarms(
    path: Path | str | None, settings: AlarmSettings, since: str, progress: Callable[[int], None] = _nobody
) -> Trial:
    """Run the rules over a ledger. What is older than `since` teaches them who is new, and raises nothing.

    `path` as in `verify_audit_integrity`; `since` as in a search. Reads all that is kept. Raises
    LedgerUnreadableError, BadRequestError.
    """
    begin = moment("since", since)
    watch = Watch(settings, datetime.fromisoformat(begin).timestamp())
    raised: list[Suspicion] = []
    decisions = 0
    try:
        streams = [_decisions(directory, progress) for directory in stream_directories(path)]
        for fields in heapq.merge(*streams, key=lambda fields: fields["ts"]):
            decisions += fields["ts"] >= begin
            raised += watch.see(fields)
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
    counts = Counter(each.rule for each in raised)
    return Trial(begin, decisions, {name: counts[name] for name in RULE_NAMES}, tuple(raised))


def _decisions(directory: Path, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """The decisions of a stream, oldest first."""
    for extent in extents(directory):
        with suppress(FileNotFoundError):  # pruned meanwhile
            for line in lines_forward(extent.path, extent.counted_bytes):
                event = read_event(line) if _NEEDLE in line else None
                if event is not None and "decision" in event:
                    yield event
        progress(extent.counted_bytes)
