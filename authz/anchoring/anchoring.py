"""The node's checkpoint on its way out of the house: to every witness, then, with what they signed, to every anchor.

Each has its own pace; a slow or dead one holds up neither signing nor the others for longer than its time limit.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from msgspec import Struct

from authz.anchoring.asking import AskedWitness
from authz.anchoring.configured import anchor_at, asked_witness, check_outward, witness_key
from authz.anchoring.errors import HistoryError, OutwardError
from authz.anchoring.outside import open_session
from authz.anchoring.pace import OutwardStatus, Pace
from authz.anchoring.places import Anchor
from authz.anchoring.published import Newest, Published, with_cosignatures
from authz.config import AuditSettings
from authz.core import Clock
from authz.tlog import HashReader

WITNESS_EVERY_SECONDS: Final = 1.0
"""Least time between two checkpoints that a witness is asked for."""

_log = structlog.get_logger("authz.anchoring")


class AnchoringStatus(Struct, frozen=True):
    """Every witness and every anchor, in the order of the configuration."""

    witnesses: tuple[OutwardStatus, ...] = ()
    anchors: tuple[OutwardStatus, ...] = ()


class Anchoring:
    """Takes the checkpoints that the auditor publishes and brings them to witnesses and anchors, the newest first.

    `on_cosigned` is told a note with cosignatures, to be published in place of the same checkpoint without them: only
    the auditor knows whether that is still the newest one. `before`: the status when the process ended last. All
    methods are for the thread of the event loop.
    """

    def __init__(
        self,
        settings: AuditSettings,
        clock: Clock,
        on_cosigned: Callable[[bytes], Awaitable[None]],
        before: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises ConfigurationError when a witness or an anchor cannot be used."""
        check_outward(settings)
        self._settings = settings
        self._clock = clock
        self._on_cosigned = on_cosigned
        self._before = read_outward(before or {})
        self._newest: Newest[Published] = Newest()
        self._ready: Newest[Published] = Newest()
        self._lines: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None
        self._witness_paces = tuple(
            self._pace("witness", witness_key(each, "").name, WITNESS_EVERY_SECONDS) for each in settings.witnesses
        )
        self._anchor_paces = tuple(self._pace("anchor", each.to, each.every_seconds) for each in settings.anchors)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._moved: Newest[object] = Newest()

    async def start(self) -> None:
        """Begin; nothing is sent before the first checkpoint."""
        self._session = session = open_session()
        witnesses = [
            (asked_witness(each, session, pace.status.size), pace)
            for each, pace in zip(self._settings.witnesses, self._witness_paces, strict=True)
        ]
        anchors = [
            (anchor_at(each, session), pace)
            for each, pace in zip(self._settings.anchors, self._anchor_paces, strict=True)
        ]
        self._tasks = (
            asyncio.create_task(self._rounds(witnesses), name="witnesses"),
            *(asyncio.create_task(self._copies(*each), name="anchor") for each in anchors),
        )

    def published(self, note: bytes, hashes: HashReader) -> None:
        """A new checkpoint of the node is out. Returns at once. Raises MalformedError when the note holds none.

        `hashes` are those of its tree, for proofs; they are read in other threads.
        """
        self._newest.put(Published.of(note, hashes))

    def status(self) -> AnchoringStatus:
        """How far everybody is."""
        return AnchoringStatus(
            tuple(pace.status for pace in self._witness_paces), tuple(pace.status for pace in self._anchor_paces)
        )

    async def close(self, seconds: float = 3.0) -> None:
        """Bring the newest checkpoint to those that are well, for so long at most, and stop."""
        for pace in (*self._witness_paces, *self._anchor_paces):
            pace.hurried = True
        if self._tasks and self._newest.value is not None:
            self._newest.put(self._newest.value._replace())
            try:
                async with asyncio.timeout(seconds):
                    await self._all_done(self._newest.value.checkpoint.size)
            except TimeoutError:
                _log.warning("not_anchored_at_the_end", size=self._newest.value.checkpoint.size)
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _all_done(self, size: int) -> None:
        paces = (*self._witness_paces, *self._anchor_paces)
        while not all(pace.failing or pace.has_done(size) for pace in paces):
            await self._moved.change(self._moved.value, None)

    async def _rounds(self, witnesses: list[tuple[AskedWitness, Pace]]) -> None:
        """Ask all witnesses that are due about the same checkpoint; then it goes on to the anchors."""
        known: Published | None = None
        while True:
            published, known = known, self._newest.value
            if known is not None:
                if published is None or published.checkpoint != known.checkpoint:
                    self._lines.clear()
                size = known.checkpoint.size
                due = [self._ask(*each, known) for each in witnesses if each[1].due_in(size) <= 0]
                await asyncio.gather(*due)
                if all(pace.failing or pace.has_done(size) for _, pace in witnesses):
                    self._ready.put(self._with_lines(known))
            pauses = [pace.due_in(known.checkpoint.size) for _, pace in witnesses] if known else []
            await self._newest.change(known, max(0.0, min(pauses)) if pauses else None)

    async def _ask(self, witness: AskedWitness, pace: Pace, published: Published) -> None:
        async with self._tried(pace, published):
            self._lines[witness.name] = await witness.cosign(published)
            await self._on_cosigned(self._with_lines(published).note)

    async def _copies(self, anchor: Anchor, pace: Pace) -> None:
        """Copy the newest checkpoint that the witnesses were asked about, whenever it is time."""
        known: Published | None = None
        while True:
            known = self._ready.value
            if known is not None and pace.due_in(known.checkpoint.size) <= 0:
                async with self._tried(pace, known):
                    await anchor.keep(known)
            pause = max(0.0, pace.due_in(known.checkpoint.size)) if known else None
            await self._ready.change(known, pause)

    @asynccontextmanager
    async def _tried(self, pace: Pace, published: Published) -> AsyncIterator[None]:
        """One try, of which nothing but its outcome is seen: whatever goes wrong, there will be another."""
        try:
            yield
        except OutwardError as error:
            self._failed(pace, error)
        except Exception as error:  # noqa: BLE001 - a stranger's answer, or a mistake of ours, must not end the task
            _log.error("internal_fault", name=pace.status.name, exc_info=error)
            self._failed(pace, OutwardError(f"unforeseen: {type(error).__name__}"))
        else:
            self._succeeded(pace, published)

    def _with_lines(self, published: Published) -> Published:
        return published._replace(note=with_cosignatures(published.note, self._lines.values()))

    def _succeeded(self, pace: Pace, published: Published) -> None:
        if pace.status.error is not None:
            _log.info("outward_recovered", name=pace.status.name, size=published.checkpoint.size)
        pace.succeeded(published.checkpoint.size)
        self._moved.put(object())

    def _failed(self, pace: Pace, error: OutwardError) -> None:
        if str(error) != pace.status.error:
            log = _log.error if isinstance(error, HistoryError) else _log.warning
            log("outward_failed", name=pace.status.name, kind=pace.status.kind, code=error.code, error=str(error))
        pace.failed(error)
        self._moved.put(object())

    def _pace(self, kind: str, name: str, every_seconds: float) -> Pace:
        """Goes on where it was when the process ended."""
        kept = self._before.witnesses if kind == "witness" else self._before.anchors
        for status in kept:
            if status.name == name:
                return Pace(status, self._clock, every_seconds)
        new = OutwardStatus(
            name=name, kind="witness" if kind == "witness" else "anchor", size=0, time=self._clock.now()
        )
        return Pace(new, self._clock, every_seconds)


def read_outward(status: Mapping[str, Any]) -> AnchoringStatus:
    """The status as it stands in the auditor's status file; an empty one if that cannot be read."""
    try:
        return msgspec.convert(status, AnchoringStatus)
    except msgspec.ValidationError:
        return AnchoringStatus()
