"""Legal holds: what a hold covers is never pruned, until it is lifted. Both are records of the stream `cli`."""

import os
from pathlib import Path
from secrets import token_hex
from typing import Final

import msgspec
from msgspec import Struct

from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.moment import moment
from authz.audit.offline import offline_records, record_offline
from authz.audit.record import read_header
from authz.audit.segment import ledger_event
from authz.audit.successors import split_number
from authz.audit.upkeep import upkeep
from authz.core import BadRequestError

ADDED: Final = "audit.hold_added"
LIFTED: Final = "audit.hold_lifted"

WAIT_SECONDS: Final = 60.0
"""How long to wait for a prune that is running: a hold must not come into being beside one."""


class Hold(Struct, frozen=True, kw_only=True):
    """Body of `audit.hold_added`.

    It covers the records of `stream` and of those that go on after it (None: of every stream) from `since` up to but
    not including `until` (None: no bound), as records write time. `uid`: the operating system's number of the user who
    added it.
    """

    hold: str
    stream: str | None = None
    since: str | None = None
    until: str | None = None
    reason: str
    uid: int

    def covers(self, stream: str, first_ts: str, last_ts: str) -> bool:
        """Whether it covers a record of the stream in this span of time, both ends included."""
        return (
            self._names(stream)
            and (self.since is None or last_ts >= self.since)
            and (self.until is None or first_ts < self.until)
        )

    def _names(self, stream: str) -> bool:
        if self.stream is None:
            return True
        base, number = split_number(stream)
        held, first = split_number(self.stream)
        return base == held and number >= first


class Lifted(Struct, frozen=True, kw_only=True):
    """Body of `audit.hold_lifted`."""

    hold: str
    reason: str
    uid: int


_decode_hold: Final = msgspec.json.Decoder(Hold).decode
_decode_lifted: Final = msgspec.json.Decoder(Lifted).decode


def holds(audit: Path) -> tuple[Hold, ...]:
    """The holds in force, oldest first. Raises LedgerUnreadableError, also for a hold that cannot be read."""
    found: dict[str, Hold] = {}
    try:
        for line in offline_records(audit, "audit.hold_"):
            kind = read_header(line).type
            if kind == ADDED:
                hold = _decode_hold(line)
                found[hold.hold] = hold
            elif kind == LIFTED:
                found.pop(_decode_lifted(line).hold, None)
    except (ValueError, msgspec.MsgspecError) as error:
        raise LedgerUnreadableError(f"{audit}: a record of a hold cannot be read: {error}") from None
    return tuple(found.values())


def add_hold(
    audit: Path, reason: str, stream: str | None = None, since: str | None = None, until: str | None = None
) -> Hold:
    """Begin a hold. No prune that starts or goes on after this has returned removes what it covers.

    Times as people give them. Raises BadRequestError, LedgerUnreadableError, AuditUnavailableError,
    UpkeepBusyError, ConfigurationError.
    """
    _check_reason(reason)
    names = [directory.name for directory in stream_directories(audit)]
    if stream is not None and stream not in names:
        raise BadRequestError(f"stream: there is no {stream!r}; there are {', '.join(names)}")
    begin = None if since is None else moment("since", since)
    end = None if until is None else moment("until", until)
    if begin is not None and end is not None and begin >= end:
        raise BadRequestError("until: must be later than since")
    hold = Hold(hold=token_hex(4), stream=stream, since=begin, until=end, reason=reason, uid=os.geteuid())
    with upkeep(audit, WAIT_SECONDS):
        record_offline(audit, [ledger_event(ADDED, hold)])
    return hold


def lift_hold(audit: Path, hold: str, reason: str) -> Hold:
    """End a hold; returns it. Raises BadRequestError when there is none of this name, else as `add_hold`."""
    _check_reason(reason)
    with upkeep(audit, WAIT_SECONDS):
        found = {each.hold: each for each in holds(audit)}
        if hold not in found:
            raise BadRequestError(f"hold: there is no {hold!r}; in force are {', '.join(found) or 'none'}")
        record_offline(audit, [ledger_event(LIFTED, Lifted(hold=hold, reason=reason, uid=os.geteuid()))])
    return found[hold]


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise BadRequestError("reason: say why; it is part of the record")
