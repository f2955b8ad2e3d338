"""What a Reporter awaits, and what it answers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from msgspec import UNSET, Struct, UnsetType

from authz.core import DecisionPoint, Event, Refused
from authz.reporting.seen import Seen


class ReportingLedger(Protocol):
    """The ledger as reports need it: in any mode, what cannot be made durable raises."""

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded now; None when all is well."""
        ...

    async def record_reported(self, events: Sequence[Event]) -> None:
        """Return when all of them are durable, in this order. Raises AuditUnavailableError or OverloadedError.

        After AuditUnavailableError some of them may be in the ledger; after OverloadedError none is.
        """
        ...


class ReportMeter(Protocol):
    """Counts reports. It must not fail and must not wait."""

    def reported(self, event_type: str | None, outcome: str) -> None:
        """Count one event: `recorded`, `duplicate` or `refused`."""
        ...

    def report_refused(self, code: str) -> None:
        """Count why one was refused."""
        ...

    def outcome_reported(self, route: str | None, method: str, status: int, seconds: float | None) -> None:
        """Count how a request ended, as a caller told it."""
        ...


class Reports(NamedTuple):
    """What a Reporter needs. `decisions`: whose policy and privacy hold for reports too. `key`: turns a caller's IDs
    into those of records.

    `recorded_before` tells the IDs of the reported records in the ledger, the oldest first, of as long ago as `seen`
    has to know. It reads files, off the loop, and raises AuthzError when it cannot.
    """

    ledger: ReportingLedger
    decisions: DecisionPoint
    meter: ReportMeter
    seen: Seen
    key: bytes
    recorded_before: Callable[[], Awaitable[Sequence[bytes]]]


class Item(Struct, frozen=True, kw_only=True):
    """What became of one event. `record`: the ID of its record; `error`: why there is none."""

    id: str | None
    outcome: Literal["recorded", "duplicate", "refused"]
    record: str | UnsetType = UNSET
    error: Refused | UnsetType = UNSET


class Report(Struct, frozen=True):
    """What became of a call, in the order in which its events were sent."""

    recorded: int
    duplicate: int
    refused: int
    events: tuple[Item, ...]
