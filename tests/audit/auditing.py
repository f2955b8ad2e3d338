"""A node whose auditor is taken through single rounds: real files, a clock that stands, a shelf that can be full."""

import asyncio
import errno
from pathlib import Path

from authz.audit import LedgerWriter
from authz.audit.atomic import Shelf
from authz.audit.auditor.auditor import Auditor
from authz.audit.auditor.signed import SIGNED_NAME, Head, SignedStore
from authz.audit.node_key import open_node_key
from authz.audit.published import public_keys, signed_checkpoint
from authz.audit.status import StreamStatus
from authz.tlog import CompactRange

from .ledger import STREAM, StoppedClock, SystemClock, event
from .published import leaves

OWN = "auditor"


class FullShelf(Shelf):
    """A shelf on a disk that is full for the files with this name, until it is forgiven. `puts`: what was tried."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.puts: list[str] = []

    def put(self, path: Path, data: bytes, *, durable: bool) -> None:
        self.puts.append(path.name)
        if path.name == self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().put(path, data, durable=durable)


class Node:
    """A state directory with its key, and one life of the auditor after another."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.audit = state / "audit"
        self.audit.mkdir(parents=True, exist_ok=True)
        self.clock = StoppedClock()
        self.shelf = FullShelf()
        self.signer = open_node_key(state)
        self.auditor = self._begin()

    def _begin(self) -> Auditor:
        directory = self.state / "auditor"
        directory.mkdir(exist_ok=True)
        self._store = SignedStore(directory / SIGNED_NAME)
        return Auditor(self.audit, self._store, self.signer, self.clock, self.shelf, OWN)

    def restart(self) -> Auditor:
        """End this auditor and begin another."""
        self.stop()
        self.auditor = self._begin()
        return self.auditor

    def stop(self) -> None:
        """Let go of the files."""
        self.auditor.close()
        self._store.close()

    def write(self, records: int, stream: str = STREAM, tag: str = "e") -> int:
        """One life of a writer, which adds two records of its own; returns how many the stream has then."""

        async def life() -> None:
            writer = LedgerWriter(self.audit, stream, clock=SystemClock())
            await writer.open()
            for start in range(0, records, 10_000):
                numbers = range(start, min(records, start + 10_000))
                await writer.record_all([event(f"{tag}{number}") for number in numbers])
            await writer.close()

        asyncio.run(life())
        return len(leaves(self.audit / stream))

    def signed(self, stream: str = STREAM) -> Head | None:
        """What the published checkpoint says, its signature verified; None when there is none."""
        path = self.audit / "tiles" / stream / "checkpoint"
        if not path.exists():
            return None
        found = signed_checkpoint(path.read_bytes(), stream, public_keys(self.audit))
        return Head(found.size, found.root)

    def head(self, size: int, stream: str = STREAM) -> Head:
        """What has to be signed of the first `size` records, the plainest way."""
        tree = CompactRange()
        tree.extend(leaves(self.audit / stream)[:size])
        return Head(size, tree.root())

    def status(self, stream: str = STREAM) -> StreamStatus:
        """What the auditor says of a stream."""
        [found] = [each for each in self.auditor.status()[0] if each.stream == stream]
        return found

    def alarms(self) -> list[tuple[str, str, str, int]]:
        """The alarms that stand: stream, kind, segment, line."""
        return sorted(alarm.place[:4] for alarm in self.auditor.alarms.standing)

    def scrub(self, steps: int = 30) -> list[tuple[str, str, str, int]]:
        """Look at what was signed for so many steps; returns the alarms that stand."""
        for _ in range(steps):
            self.auditor.scrub()
        return self.alarms()

    def segments(self, stream: str = STREAM) -> list[Path]:
        """The raw segments, oldest first, for whoever wants to change them."""
        found = sorted((self.audit / stream).glob("*.jsonl"))
        for each in found:
            each.chmod(0o600)
        return found

    def change(self, line: int, segment: int = 0, stream: str = STREAM) -> bytes:
        """Change one byte of a line (from 1) of a segment; returns the segment as it was."""
        path = self.segments(stream)[segment]
        before = path.read_bytes()
        lines = before.split(b"\n")
        lines[line - 1] = lines[line - 1].replace(b'"type":"', b'"tYpe":"', 1)
        path.write_bytes(b"\n".join(lines))
        return before
