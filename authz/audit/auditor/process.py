"""The auditor as a process: rounds without end, its own stream, its status, and an orderly end."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from authz.anchoring import Anchoring
from authz.audit.atomic import Shelf
from authz.audit.auditor.auditor import Auditor
from authz.audit.auditor.consumers import Owing, Raising, consumers
from authz.audit.auditor.self_check import SelfCheck
from authz.audit.auditor.signed import SIGNED_NAME, SignedStore
from authz.audit.compress import Compressor
from authz.audit.location import LedgerUnreadableError
from authz.audit.lock import StreamLock
from authz.audit.node_key import open_node_key
from authz.audit.rollup_record import AUDITOR, ROLLUP
from authz.audit.segment import ledger_event
from authz.audit.status import AUDITOR_NAME, AuditorStatus, read_status, write_status
from authz.audit.successors import newest_successor
from authz.audit.trail import Trail
from authz.audit.writer import LedgerWriter
from authz.config import AuditSettings
from authz.core import AuthzError, Clock
from authz.tlog import Signer

ROUND_SECONDS: Final = 1.0
ROUND_RECORDS: Final = 1000
"""A checkpoint covers what is durable after so long, or so many records, whichever is first."""

_POLL_SECONDS: Final = 0.1
_COMPRESS_SECONDS: Final = 10.0

_log = structlog.get_logger("authz.auditor")
_Result = TypeVar("_Result")


class AuditorProcess:
    """All of it. `open`, then `run` until `stop` is called, then `close`; in one event loop.

    The trees are grown and signed in one thread of their own, so the loop stays free for the ledger writer and for
    witnesses and anchors; the trail has another one.
    """

    def __init__(self, state: Path, settings: AuditSettings, clock: Clock, shelf: Shelf | None = None) -> None:
        self._state = state
        self._audit = state / "audit"
        self._settings = settings
        self._clock = clock
        self._shelf = shelf or Shelf()
        self._thread = ThreadPoolExecutor(1, "auditor")
        self._stopped = asyncio.Event()
        self._rolled_up: object = None
        self._trouble: str | None = None
        self._compressed_at = 0.0
        taking = consumers(state, settings, clock)
        self._trail = Trail(self._audit, taking, clock)
        self._raising = [each for each in taking if isinstance(each, Raising)]
        self._lock: StreamLock
        self._signer: Signer
        self._store: SignedStore
        self._auditor: Auditor
        self._writer: LedgerWriter
        self._anchoring: Anchoring
        self._self_check: SelfCheck

    async def open(self) -> None:
        """Take the lock, the key, the memory and the stream.

        Raises ConfigurationError, SigningUnsafeError, or AuditUnavailableError when another auditor runs.
        """
        own = await self._in_thread(self._open)
        self._writer = LedgerWriter(self._audit, own, clock=self._clock)
        await self._writer.open()
        before = await asyncio.to_thread(read_status, self._state)
        outward = {} if before is None else before.outward
        self._anchoring = Anchoring(self._settings, self._clock, self._cosigned, outward)
        await self._anchoring.start()
        verified = None if before is None else before.verification
        self._self_check = SelfCheck(self._state, self._settings.verify_seconds, self._clock, verified)

    def stop(self) -> None:
        """Have `run` end after one more round."""
        self._stopped.set()

    async def run(self) -> None:
        """Round after round, and the trail beside them. Raises SigningUnsafeError: it is not known what was signed."""
        self._trail.start()
        self._self_check.start()
        while not self._stopped.is_set():
            await self.round()
            await self._pause()

    async def catch_up(self) -> None:
        """In place of `run`, and before `close`: have the consumers of the trail take all that is there now."""
        await asyncio.to_thread(self._trail.catch_up)

    async def round(self) -> None:
        """Sign what is durable, roll it up, sign that; then look at a little of what was signed before."""
        await self._in_thread(self._auditor.round)
        await self._in_thread(self._auditor.scrub)
        await self._tell()
        await self._in_thread(self._auditor.round_of_own)
        await self._announce()
        await self._keep_small()
        await self._in_thread(self._write_status)

    async def close(self) -> None:
        """Sign what came last, the end of the auditor's own stream too, and let go of everything."""
        await asyncio.to_thread(self._trail.stop)
        await self._self_check.stop()
        await self.round()
        await self._writer.close()
        await self._in_thread(self._auditor.round_of_own)
        await self._announce()
        await self._anchoring.close()
        await self._in_thread(self._write_status)
        await self._in_thread(self._auditor.close)
        await self._in_thread(self._store.close)
        self._thread.shutdown()
        self._lock.release()

    async def _announce(self) -> None:
        node = await self._in_thread(self._auditor.node_note)
        if node is not None:
            self._anchoring.published(*node)

    def _open(self) -> str:
        directory = self._state / AUDITOR_NAME
        self._shelf.make_directory(directory, durable=True)
        self._shelf.make_directory(self._audit, durable=True)
        self._lock = StreamLock.take(directory)
        self._signer = open_node_key(self._state, self._settings.signing_key)
        self._store = SignedStore(directory / SIGNED_NAME)
        own = newest_successor(self._audit, AUDITOR)
        self._auditor = Auditor(self._audit, self._store, self._signer, self._clock, self._shelf, own)
        self._compressor = Compressor(self._audit)
        return own

    async def _tell(self) -> None:
        """What the auditor itself has to record: alarms, and the roll-up when some stream was signed further."""
        await self._pay()
        rollup, alarms = self._auditor.rollup(), self._auditor.alarms.unrecorded
        events = [ledger_event("audit.refused" if alarm.refused else "audit.damaged", alarm) for alarm in alarms]
        if rollup != self._rolled_up and rollup.streams:
            events.append(ledger_event(ROLLUP, rollup))
        try:
            await self._writer.record_all(events)
        except AuthzError as error:
            self._trouble = f"its own stream takes no records: {error}"
            _log.error("auditor_not_recorded", error=str(error))
            return
        self._rolled_up, self._trouble = rollup, None
        await self._in_thread(partial(self._auditor.alarms.keep, alarms))

    async def _pay(self) -> None:
        """Record what consumers owe. What cannot be recorded now stays owed."""
        owing: list[Owing] = [*self._raising, self._self_check]
        for each in owing:
            events = list(each.owed())
            try:
                await self._writer.record_all(events)
            except AuthzError as error:
                _log.error("auditor_not_recorded", error=str(error), owed=len(events))
                return
            if events:
                await asyncio.to_thread(each.paid, [event.id for event in events])

    async def _pause(self) -> None:
        """Until the next round is due: after a second, or when enough records wait. What is owed does not wait."""
        until = self._clock.elapsed() + ROUND_SECONDS
        while not self._stopped.is_set() and self._clock.elapsed() < until:
            if await self._in_thread(lambda: self._auditor.waiting) >= ROUND_RECORDS:
                return
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._stopped.wait()
            except TimeoutError:
                await self._pay()

    async def _keep_small(self) -> None:
        """Compress a segment that is sealed and signed, now and then."""
        if not self._settings.compress or self._clock.elapsed() < self._compressed_at + _COMPRESS_SECONDS:
            return
        self._compressed_at = self._clock.elapsed()
        try:
            done = await asyncio.to_thread(self._compressor.round)
        except LedgerUnreadableError as error:
            _log.warning("not_compressed", error=str(error))
            return
        for failed in done.failed:
            _log.error("segment_not_compressed", error=failed)

    async def _cosigned(self, note: bytes) -> None:
        await self._in_thread(partial(self._auditor.add_cosignatures, note))

    def _write_status(self) -> None:
        streams, reads_device = self._auditor.status()
        status = AuditorStatus(
            time=self._clock.now(),
            pid=os.getpid(),
            node=self._signer.name,
            vkey=self._signer.vkey,
            reads_device=reads_device,
            streams=streams,
            alarms=self._auditor.alarms.standing,
            trouble=self._trouble,
            scrub=self._auditor.scrubbed,
            consumers=self._trail.status(),
            verification=self._self_check.status,
            raised={name: count for each in self._raising for name, count in each.raised.items()},
            forgotten={name: count for each in self._raising for name, count in each.forgotten.items()},
            outward=msgspec.to_builtins(self._anchoring.status()),
        )
        try:
            write_status(self._state, status, self._shelf)
        except OSError as error:
            _log.warning("status_not_written", error=str(error))

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
