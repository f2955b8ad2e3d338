"""Reported events on their way into the ledger: each once, however often it is sent."""

import asyncio
import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import structlog

from authz.core import (
    MOST_REPORTED,
    OUTCOMES_REPORTED,
    AuditUnavailableError,
    AuthzError,
    BadRequestError,
    Caller,
    Event,
    OverloadedError,
    Refused,
    Reported,
    TooLargeError,
    account_of_reported,
    identified_by_reported,
    place_of_reported,
    read_reported,
    reported_head,
)
from authz.reporting.ports import Item, Report, Reports

MOST_UNDER_WAY: Final = 2048
"""Records of reports that may wait for the disk: the rest of the ledger's queue is for decisions."""

_AT_A_TIME: Final = 32
"""Events that are read in one turn of the loop, so that no decision waits long for them."""

_PATIENCE_SECONDS: Final = 5.0

_log = structlog.get_logger("authz.reporting")
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Read(NamedTuple):
    """One event that can be recorded, and its route in the policy."""

    sent: Reported
    route: str | None
    event: Event

    @property
    def key(self) -> bytes:
        """The ID of its record, in little room."""
        return UUID(self.event.id).bytes


class Reporter:
    """Records what callers report. It belongs to one event loop.

    The ID of a record is made of the caller's name and the event's own ID under a key, so that the ledger itself says
    what was reported. That is read at the start, and again when a failure has left it in doubt what became durable.
    """

    def __init__(self, parts: Reports) -> None:
        self._parts = parts
        self._under_way: dict[bytes, asyncio.Task[None]] = {}
        self._doubts = 0
        """How often a failure left it open what became durable."""
        self._known_at = -1
        """The doubt up to which `seen` holds all that the ledger does."""
        self._reading: asyncio.Task[None] | None = None

    @property
    def _known(self) -> bool:
        return self._known_at == self._doubts

    @property
    def forgotten_early(self) -> int:
        """See Seen."""
        return self._parts.seen.forgotten_early

    def prepare(self) -> None:
        """Begin to read what was reported before. Does not wait for it."""
        if not self._known and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._remember(), name="reported-before")

    def close(self) -> None:
        """Stop reading. What is on its way into the ledger goes on."""
        if self._reading is not None:
            self._reading.cancel()

    async def report(self, caller: Caller, body: bytes) -> Report:
        """Record one event, or an array of them, in one group commit; durable when this returns.

        An event that is refused keeps no other from being recorded. Raises BadRequestError or TooLargeError when the
        body as a whole cannot be taken; AuditUnavailableError or OverloadedError when not all is known to be durable:
        the same call is to be sent again then.
        """
        # 1. Every event by itself: read and accounted for, or refused.
        sent = _read_batch(body)
        read: list[_Read | Refused] = []
        for at, raw in enumerate(sent, 1):
            read.append(await self._read(caller, raw))
            if at % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        # 2. What is in the ledger, from an earlier life too, is not recorded again.
        await self._ready()
        unknown: dict[bytes, _Read] = {}
        for one in read:
            if isinstance(one, _Read) and one.key not in self._parts.seen:
                unknown.setdefault(one.key, one)
        new = {key: one for key, one in unknown.items() if key not in self._under_way}
        # 3. One group commit. Whoever goes away meanwhile leaves it to end by itself.
        commits = {self._under_way[key] for key in unknown if key not in new}
        if new:
            commits.add(self._commit(new))
        for commit in commits:
            await asyncio.shield(commit)
        # 4. Counted and told, in the order in which it was sent.
        return self._told(caller, sent, read, {id(one) for one in new.values()})

    async def _read(self, caller: Caller, raw: bytes) -> "_Read | Refused":
        event = read_reported(raw)
        if isinstance(event, Refused):
            return event
        decisions = self._parts.decisions
        policy = decisions.policies.active
        place = place_of_reported(event, caller, policy)
        pseudonyms = decisions.pseudonyms
        if decisions.identities is not None:
            pseudonyms = await decisions.identities.disguise(identified_by_reported(event, place))
        body = account_of_reported(event, caller, policy, place, pseudonyms, decisions.fields)
        route = place.route.path if place.route is not None else None
        return _Read(event, route, Event(self._record_id(caller, event.id), event.type, body))

    def _record_id(self, caller: Caller, event_id: str) -> str:
        """A UUID version 8 (RFC 9562): of no decision, whose IDs are of version 7, and of no other caller's event."""
        digest = hmac.digest(self._parts.key, f"reported\0{caller.name}\0{event_id}".encode(), "sha256")
        return str(UUID(int=int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62))

    def _commit(self, new: dict[bytes, _Read]) -> "asyncio.Task[None]":
        if self._under_way and len(self._under_way) + len(new) > MOST_UNDER_WAY:
            raise OverloadedError("Too many reported events are on their way to the disk; send the call again shortly")
        task = asyncio.create_task(self._record(new), name="reported")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all who waited may have gone
        self._under_way.update(dict.fromkeys(new, task))
        return task

    async def _record(self, new: dict[bytes, _Read]) -> None:
        try:
            await self._parts.ledger.record_reported([one.event for one in new.values()])
        except OverloadedError:
            raise
        except BaseException:
            self._doubts += 1
            raise
        else:
            self._parts.seen.add(new)
        finally:
            for key in new:
                del self._under_way[key]

    async def _ready(self) -> None:
        """Return when it is known what was reported before."""
        if self._known:
            return
        self.prepare()
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_PATIENCE_SECONDS)
        if not self._known:
            raise AuditUnavailableError("The ledger is still being read for what was reported before; send it again")

    async def _remember(self) -> None:
        if self._parts.ledger.failure is not None:
            return  # what counts of the last segment is known only when the next one is begun
        doubts = self._doubts
        try:
            found = await self._parts.recorded_before()
        except AuthzError as error:
            _log.error("reported_before_unread", code=error.code, error=str(error))
            return
        if doubts == self._doubts:
            self._parts.seen.add(key for key in found if key not in self._under_way)
            self._known_at = doubts

    def _told(self, caller: Caller, sent: Sequence[bytes], read: Sequence[_Read | Refused], new: set[int]) -> Report:
        items = tuple(self._item(raw, one, recorded=id(one) in new) for raw, one in zip(sent, read, strict=True))
        outcomes = [item.outcome for item in items]
        report = Report(outcomes.count("recorded"), outcomes.count("duplicate"), outcomes.count("refused"), items)
        if report.refused:
            codes = sorted({one.code for one in read if isinstance(one, Refused)})
            _log.warning("reported_events_refused", caller=caller.name, refused=report.refused, codes=codes)
        return report

    def _item(self, raw: bytes, one: "_Read | Refused", *, recorded: bool) -> Item:
        meter = self._parts.meter
        if isinstance(one, Refused):
            event_id, event_type = reported_head(raw)
            meter.reported(event_type, "refused")
            meter.report_refused(one.code)
            return Item(id=event_id, outcome="refused", error=one)
        sent = one.sent
        meter.reported(sent.type, "recorded" if recorded else "duplicate")
        if recorded and sent.type in OUTCOMES_REPORTED and sent.method is not None and sent.status is not None:
            meter.outcome_reported(one.route, sent.method, sent.status, sent.duration_seconds)
        return Item(id=sent.id, outcome="recorded" if recorded else "duplicate", record=one.event.id)


def _read_batch(body: bytes) -> list[bytes]:
    """The events of a call, each as it was sent. Raises BadRequestError, TooLargeError."""
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return [body]
    try:
        found = _decode_batch(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"The body is not a JSON array of events: {error}") from None
    if len(found) > MOST_REPORTED:
        raise TooLargeError(f"The call holds {len(found)} events; send at most {MOST_REPORTED} in one")
    return [bytes(each) for each in found]
