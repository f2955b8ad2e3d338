"""One round of the auditor after another: read back, check, grow the trees, compare and set, sign, publish.

Everything in here runs in one thread. Nothing is signed that was not read back from disk and found to follow what was
signed before; whatever does not is refused, loudly, and the other streams go on.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from authz.anchoring import with_cosignatures
from authz.audit.atomic import Shelf
from authz.audit.auditor.following import Follower, RefusedError
from authz.audit.auditor.scrub import Scrubber
from authz.audit.auditor.signed import Head, SignedStore
from authz.audit.durable import read_mark
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.published import checkpoint_note, tiles_directory
from authz.audit.rollup_record import RolledUp, Rollup
from authz.audit.status import Alarm, ScrubStatus, StreamStatus
from authz.audit.successors import newest_successor, split_number
from authz.core import Clock
from authz.tlog import Checkpoint, Signer, TileReader, TlogError, open_note, write_base64

CHECKPOINT: Final = "checkpoint"

_log = structlog.get_logger("authz.auditor")


class Auditor:
    """Follows the streams of one node and signs their trees. `own`: the stream of its own records."""

    def __init__(self, audit: Path, store: SignedStore, signer: Signer, clock: Clock, shelf: Shelf, own: str) -> None:
        """Publishes again what was signed last, where a crash came in between. Raises SigningUnsafeError, OSError."""
        self.own = own
        self._audit = audit
        self._store = store
        self._signer = signer
        self._clock = clock
        self._shelf = shelf
        self._heads = store.heads()
        self._followers: dict[str, Follower] = {}
        self._refused: dict[str, RefusedError] = {}
        self._trouble: dict[str, str] = {}
        self._durable: dict[str, int] = {}
        self._covered_at: dict[str, float] = {}
        self._scrubber = Scrubber(audit)
        self._alarms = {alarm.place: alarm for alarm in store.alarms()}
        for stream, head in self._heads.items():
            self._publish_again(stream, head)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What a human has to look at."""
        return tuple(self._alarms.values())

    @property
    def waiting(self) -> int:
        """How many durable records are not signed yet, as far as the writers' marks say. Raises OSError."""
        found = 0
        for directory in self._streams():
            mark = read_mark(directory)
            if mark is not None and directory.name not in self._refused:
                found += max(0, mark.seq - self._size(directory.name))
        return found

    def round(self, only: Iterable[str] | None = None) -> list[Alarm]:
        """Sign what has become durable, of all streams but the auditor's own, or of these; returns new alarms.

        Raises SigningUnsafeError: then this auditor must end.
        """
        now = self._clock.now()
        names = [each.name for each in self._streams() if each.name != self.own] if only is None else list(only)
        grown = [follower for name in names if (follower := self._read(name, now)) is not None]
        self._sign([each for each in grown if self._write_tiles(each)])
        if only is None:
            self._missing(names)
        return self._new_alarms([(stream, error) for stream, error in self._refused.items()])

    def scrub(self) -> list[Alarm]:
        """Look again at a little of what was signed; returns new alarms."""
        stream, found = self._scrubber.step({k: v for k, v in self._heads.items() if k not in self._refused})
        return self._new_alarms([(stream, error) for error in found])

    def rollup(self) -> Rollup:
        """How far each stream but the auditor's own is signed."""
        return Rollup(
            tuple(
                RolledUp(stream, f"{self._signer.name}/{stream}", head.size, write_base64(head.root))
                for stream, head in sorted(self._heads.items())
                if stream != self.own
            )
        )

    def node_note(self) -> tuple[bytes, TileReader] | None:
        """The node's newest checkpoint and the tree it speaks of."""
        note = checkpoint_note(self._audit, self.own)
        follower = self._followers.get(self.own)
        return None if note is None or follower is None else (note, follower.store.reader())

    def add_cosignatures(self, note: bytes) -> None:
        """Publish a note with cosignatures in place of the same checkpoint without them, if it is still the newest."""
        now = checkpoint_note(self._audit, self.own)
        try:
            key = self._signer.named(f"{self._signer.name}/{self.own}").verifier
            if now is not None and open_note(now, [key]).text == open_note(note, [key]).text:
                lines = [one.line for one in open_note(note, [key]).unverified]
                self._shelf.replace(self._checkpoint_path(self.own), with_cosignatures(now, lines))
        except (TlogError, OSError) as error:
            _log.warning("cosignature_not_published", error=str(error))

    def status(self) -> tuple[tuple[StreamStatus, ...], bool]:
        """One row for each stream, and whether all was read past the page cache."""
        names = sorted({*self._heads, *(each.name for each in self._streams())})
        return tuple(map(self._status, names)), all(each.reads_device for each in self._followers.values())

    @property
    def scrubbed(self) -> ScrubStatus:
        """Where the slow re-reading is."""
        return self._scrubber.status

    def _status(self, stream: str) -> StreamStatus:
        head = self._heads.get(stream)
        refused = self._refused.get(stream)
        newest = newest_successor(self._audit, split_number(stream)[0])
        return StreamStatus(
            stream=stream,
            origin=f"{self._signer.name}/{stream}",
            size=self._size(stream),
            root="" if head is None else write_base64(head.root),
            durable=self._durable.get(stream, self._size(stream)),
            covered_at=self._covered_at.get(stream, 0.0),
            refused=None if refused is None else str(refused),
            ended_by=newest if newest != stream and newest != split_number(stream)[0] else None,
            trouble=self._trouble.get(stream),
        )

    def _streams(self) -> list[Path]:
        try:
            return stream_directories(self._audit)
        except LedgerUnreadableError:
            return []

    def _size(self, stream: str) -> int:
        head = self._heads.get(stream)
        return 0 if head is None else head.size

    def _read(self, stream: str, now: float) -> Follower | None:
        """What a stream has grown by, read and checked; None when there is nothing to sign."""
        if stream in self._refused:
            return None
        try:
            follower = self._followers.get(stream)
            if follower is None:
                follower = Follower(self._audit, stream, self._heads.get(stream), self._shelf)
                self._followers[stream] = follower
            self._durable[stream] = follower.read()
        except RefusedError as error:
            self._refuse(stream, error)
            return None
        except (OSError, TlogError, ValueError) as error:
            self._followers.pop(stream, None)
            self._trouble[stream] = f"{type(error).__name__}: {error}"
            _log.error("stream_not_read", stream=stream, error=self._trouble[stream])
            return None
        self._trouble.pop(stream, None)
        if follower.size > self._size(stream):
            return follower
        if self._durable[stream] == follower.size:
            self._covered_at[stream] = now
        return None

    def _sign(self, grown: list[Follower]) -> None:
        """The tiles are there; first the one memory that must never go back, and only then the signature."""
        steps = {each.stream: (self._heads.get(each.stream), Head(each.size, each.store.root())) for each in grown}
        self._store.advance(steps)
        now = self._clock.now()
        for follower in grown:
            before, head = steps[follower.stream]
            self._heads[follower.stream] = head
            self._publish(follower.stream, head)
            self._covered_at[follower.stream] = now
            with suppress(OSError):  # a partial tile too many does no harm
                follower.store.drop_partials(0 if before is None else before.size)

    def _write_tiles(self, follower: Follower) -> bool:
        try:
            follower.store.write()
        except OSError as error:
            self._followers.pop(follower.stream, None)
            self._trouble[follower.stream] = f"its tiles cannot be written: {error}"
            _log.error("tiles_not_written", stream=follower.stream, error=str(error))
            return False
        return True

    def _publish(self, stream: str, head: Head) -> None:
        signer = self._signer.named(f"{self._signer.name}/{stream}")
        note = signer.sign(Checkpoint(signer.name, head.size, head.root).text())
        try:
            self._shelf.make_directory(tiles_directory(self._audit, stream), durable=True)
            self._shelf.replace(self._checkpoint_path(stream), note)
        except OSError as error:
            self._trouble[stream] = f"its checkpoint cannot be published: {error}"
            _log.error("checkpoint_not_published", stream=stream, error=str(error))

    def _publish_again(self, stream: str, head: Head) -> None:
        """A crash between the memory and the checkpoint leaves the older one, or none."""
        note = checkpoint_note(self._audit, stream)
        text = Checkpoint(f"{self._signer.name}/{stream}", head.size, head.root).text()
        if note is None or not note.startswith(f"{text}\n".encode()):
            self._publish(stream, head)

    def _checkpoint_path(self, stream: str) -> Path:
        return tiles_directory(self._audit, stream) / CHECKPOINT

    def _missing(self, names: list[str]) -> None:
        for stream in self._heads.keys() - {*names, self.own} - self._refused.keys():
            head = self._heads[stream]
            message = f"{head.size} records were signed, and the stream is not there any more"
            self._refuse(stream, RefusedError("stream_missing", "", 0, message))

    def _refuse(self, stream: str, error: RefusedError) -> None:
        self._followers.pop(stream, None)
        self._refused[stream] = error

    def _new_alarms(self, found: Iterable[tuple[str, RefusedError]]) -> list[Alarm]:
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="microseconds")
        alarms = [Alarm(stream, error.kind, error.segment, error.line, str(error), at) for stream, error in found]
        new = [alarm for alarm in alarms if alarm.place not in self._alarms]
        if new:
            self._store.raise_alarms(new)
            self._alarms |= {alarm.place: alarm for alarm in new}
        for alarm in new:
            _log.critical("audit_alarm", **{name: getattr(alarm, name) for name in alarm.__struct_fields__})
        return new
