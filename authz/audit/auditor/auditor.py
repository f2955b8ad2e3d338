"""One round of the auditor after another: read back, check, grow the trees, compare and set, sign, publish.

Everything in here runs in one thread. Nothing is signed that was not read back from disk and found to follow what was
signed before; whatever does not is refused, loudly, and the other streams go on.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from authz.anchoring import with_cosignatures
from authz.audit.atomic import Shelf
from authz.audit.auditor.alarms import Alarms
from authz.audit.auditor.following import Follower, RefusedError
from authz.audit.auditor.known import known_heads
from authz.audit.auditor.scrub import Scrubber
from authz.audit.auditor.signed import Head, SignedStore
from authz.audit.durable import read_mark
from authz.audit.location import LedgerUnreadableError, stream_directories
from authz.audit.published import checkpoint_note, tiles_directory
from authz.audit.rollup_record import RolledUp, Rollup
from authz.audit.status import ScrubStatus, StreamStatus
from authz.audit.successors import newest_successor, split_number
from authz.core import Clock
from authz.tlog import Checkpoint, Signer, TileReader, TlogError, open_note, write_base64

CHECKPOINT: Final = "checkpoint"

AGAIN_SECONDS: Final = 10.0
"""A stream that was refused is looked at again after this: a disk that was away may be back."""

_log = structlog.get_logger("authz.auditor")


class Auditor:
    """Follows the streams of one node and signs their trees. `own`: the stream of its own records."""

    def __init__(self, audit: Path, store: SignedStore, signer: Signer, clock: Clock, shelf: Shelf, own: str) -> None:
        """Publishes again what was signed last, where a crash came in between. Raises SigningUnsafeError, OSError."""
        self.own = own
        self.alarms = Alarms(store, clock)
        self._audit = audit
        self._store = store
        self._signer = signer
        self._clock = clock
        self._shelf = shelf
        self._heads = known_heads(audit, store, own)
        self._followers: dict[str, Follower] = {}
        self._refused: dict[str, tuple[RefusedError, float]] = {}
        self._trouble: dict[str, str] = {}
        self._durable: dict[str, int] = {}
        self._covered_at: dict[str, float] = {}
        self._scrubber = Scrubber(audit)
        self._unpublished = {stream for stream, head in self._heads.items() if not self._is_published(stream, head)}

    @property
    def waiting(self) -> int:
        """How many durable records are not signed yet, of the streams that were read so far. Raises OSError."""
        marks = {stream: read_mark(follower.directory) for stream, follower in self._followers.items()}
        return sum(max(0, mark.seq - self._size(stream)) for stream, mark in marks.items() if mark is not None)

    @property
    def scrubbed(self) -> ScrubStatus:
        """Where the slow re-reading is."""
        return self._scrubber.status

    def round(self) -> None:
        """Sign what has become durable, of all streams but the auditor's own.

        Raises SigningUnsafeError: then this auditor must end.
        """
        names = [each.name for each in self._streams() if each.name != self.own]
        for stream in sorted(self._heads.keys() - {*names, self.own}):
            message = f"{self._heads[stream].size} records were signed, and the stream is not there any more"
            self._refuse(stream, RefusedError("stream_missing", "", 0, message))
        self._sign(names)

    def round_of_own(self) -> None:
        """Sign the auditor's own stream: the node's checkpoint. Raises SigningUnsafeError."""
        self._sign([self.own])

    def scrub(self) -> None:
        """Look again at a little of what was signed."""
        looked = self._scrubber.step({k: v for k, v in self._heads.items() if k not in self._refused})
        self.alarms.found(looked.stream, looked.found)
        if looked.done and looked.stream:
            self.alarms.passed(looked.stream)

    def rollup(self) -> Rollup:
        """How far each stream but the auditor's own is signed."""
        rows = sorted((stream, head) for stream, head in self._heads.items() if stream != self.own)
        return Rollup(
            tuple(RolledUp(stream, self._origin(stream), head.size, write_base64(head.root)) for stream, head in rows)
        )

    def node_note(self) -> tuple[bytes, TileReader] | None:
        """The node's newest checkpoint and the tree it speaks of; None while there is none."""
        follower = self._followers.get(self.own)
        note = checkpoint_note(self._audit, self.own)
        return (
            None
            if note is None or follower is None or self.own in self._unpublished
            else (
                note,
                follower.store.reader(),
            )
        )

    def add_cosignatures(self, note: bytes) -> None:
        """Publish a note with cosignatures in place of the same checkpoint without them, if it is still the newest."""
        key = self._signer.named(self._origin(self.own)).verifier
        try:
            now = checkpoint_note(self._audit, self.own)
            if now is not None and open_note(now, [key]).text == open_note(note, [key]).text:
                lines = [one.line for one in open_note(note, [key]).unverified]
                self._shelf.put(self._checkpoint_path(self.own), with_cosignatures(now, lines), durable=False)
        except (TlogError, OSError) as error:
            _log.warning("cosignature_not_published", error=str(error))

    def status(self) -> tuple[tuple[StreamStatus, ...], bool]:
        """One row for each stream, and whether all was read past the page cache."""
        names = sorted({*self._heads, *(each.name for each in self._streams())})
        return tuple(map(self._status, names)), all(each.reads_device for each in self._followers.values())

    def close(self) -> None:
        """Let go of the streams."""
        for stream in list(self._followers):
            self._drop(stream)

    def _status(self, stream: str) -> StreamStatus:
        head = self._heads.get(stream)
        refused = self._refused.get(stream)
        base = split_number(stream)[0]
        newest = newest_successor(self._audit, base)
        return StreamStatus(
            stream=stream,
            origin=self._origin(stream),
            size=self._size(stream),
            root="" if head is None else write_base64(head.root),
            durable=self._durable.get(stream, self._size(stream)),
            covered_at=self._covered_at.setdefault(stream, self._clock.now()),
            refused=None if refused is None else str(refused[0]),
            ended_by=newest if newest not in (stream, base) else None,
            trouble=self._trouble.get(stream),
        )

    def _origin(self, stream: str) -> str:
        return f"{self._signer.name}/{stream}"

    def _streams(self) -> list[Path]:
        try:
            return stream_directories(self._audit)
        except LedgerUnreadableError:
            return []

    def _size(self, stream: str) -> int:
        head = self._heads.get(stream)
        return 0 if head is None else head.size

    def _sign(self, streams: Iterable[str]) -> None:
        """Tiles first, then the one memory that must never go back, and only then the signature."""
        now = self._clock.now()
        for stream in streams:
            self._covered_at.setdefault(stream, now)
        seen = [stream for stream in streams if self._read(stream)]
        grown = [each for each in self._followers.values() if each.size > self._size(each.stream)]
        grown = [each for each in grown if self._write_tiles(each)]
        steps = {each.stream: (self._heads.get(each.stream), Head(each.size, each.store.root())) for each in grown}
        self._store.advance(steps)
        for stream, (_, head) in steps.items():
            self._heads[stream] = head
            self._unpublished.add(stream)
        for stream in sorted(self._unpublished):
            self._publish(stream)
        for stream in seen:
            if self._durable.get(stream) == self._size(stream) and stream not in self._unpublished:
                self._covered_at[stream] = now
        for follower in grown:
            before = steps[follower.stream][0]
            with suppress(OSError):  # a partial tile too many does no harm
                follower.store.drop_partials(0 if before is None else before.size)

    def _read(self, stream: str) -> bool:
        """Take in what a stream has grown by: whether that could be done.

        What looks wrong is read a second time before it is refused.
        """
        refused = self._refused.get(stream)
        if refused is not None and self._clock.elapsed() < refused[1] + AGAIN_SECONDS:
            return False
        try:
            try:
                self._durable[stream] = self._follow(stream)
            except RefusedError:
                self._drop(stream)
                self._durable[stream] = self._follow(stream)
        except RefusedError as error:
            self._refuse(stream, error)
        except (OSError, TlogError, ValueError) as error:
            self._drop(stream)
            self._trouble[stream] = f"{type(error).__name__}: {error}"
            _log.error("stream_not_read", stream=stream, error=self._trouble[stream])
        else:
            self._trouble.pop(stream, None)
            self._refused.pop(stream, None)
            self.alarms.accepted(stream)
            return True
        return False

    def _follow(self, stream: str) -> int:
        follower = self._followers.get(stream)
        if follower is None:
            follower = Follower(self._audit, stream, self._heads.get(stream), self._shelf)
            self._followers[stream] = follower
        return follower.read()

    def _drop(self, stream: str) -> None:
        follower = self._followers.pop(stream, None)
        if follower is not None:
            follower.close()

    def _refuse(self, stream: str, error: RefusedError) -> None:
        self._drop(stream)
        self._refused[stream] = (error, self._clock.elapsed())
        self.alarms.refused(stream, error)

    def _write_tiles(self, follower: Follower) -> bool:
        try:
            follower.store.write()
        except OSError as error:
            self._drop(follower.stream)
            self._trouble[follower.stream] = f"its tiles cannot be written: {error}"
            _log.error("tiles_not_written", stream=follower.stream, error=str(error))
            return False
        return True

    def _publish(self, stream: str) -> None:
        signer, head = self._signer.named(self._origin(stream)), self._heads[stream]
        note = signer.sign(Checkpoint(signer.name, head.size, head.root).text())
        try:
            self._shelf.make_directory(tiles_directory(self._audit, stream), durable=True)
            # Not made durable: a power cut may take it, and the next start publishes it again from the memory.
            self._shelf.put(self._checkpoint_path(stream), note, durable=False)
        except OSError as error:
            self._trouble[stream] = f"its checkpoint cannot be published: {error}"
            _log.error("checkpoint_not_published", stream=stream, error=str(error))
        else:
            self._unpublished.discard(stream)

    def _is_published(self, stream: str, head: Head) -> bool:
        """A crash between the memory and the checkpoint leaves the older one, or none."""
        note = checkpoint_note(self._audit, stream)
        text = Checkpoint(self._origin(stream), head.size, head.root).text()
        return note is not None and note.startswith(f"{text}\n".encode())

    def _checkpoint_path(self, stream: str) -> Path:
        return tiles_directory(self._audit, stream) / CHECKPOINT
