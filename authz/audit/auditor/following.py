"""One stream as the auditor follows it: what it has read back, checked and put into the stream's tree."""

import errno
from collections.abc import Iterator
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final

from authz.audit.atomic import Shelf
from authz.audit.auditor.signed import Head
from authz.audit.auditor.tilestore import TileStore
from authz.audit.durable import read_mark
from authz.audit.extent import Extent, extents, lines_forward
from authz.audit.location import LedgerUnreadableError
from authz.audit.pruned import begin_of, prunes
from authz.audit.published import tiles_directory
from authz.audit.record import ORIGIN, chain_hash
from authz.audit.segment import first_seq, segment_name
from authz.audit.span import SpanReader
from authz.audit.stored import segment_bytes
from authz.core import AuthzError
from authz.tlog import TlogError, leaf_hash, leaf_hashes

_MOST_BYTES: Final = 4 << 20
"""Read at a time, so that memory stays small however far behind the auditor is."""


class RefusedError(AuthzError):
    """The stream is not what was signed of it, or does not go on from there: nothing more of it may be signed."""

    code = "audit_refused"

    def __init__(self, kind: str, segment: str, line: int, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.segment = segment
        self.line = line


class Follower:
    """Reads what is durable, checks that it goes on from what was read before, grows the tree.

    Nothing past the writer's durable mark is read, and nothing that the next segment says does not count. After any
    error begin again with a new one. For one thread.
    """

    def __init__(self, audit: Path, stream: str, head: Head | None, shelf: Shelf) -> None:
        """Take up the stream where it was signed last. Raises RefusedError, OSError."""
        self.stream = stream
        self.directory = audit / stream
        self._reader = SpanReader()
        self._tiles = tiles_directory(audit, stream)
        self._prev = ORIGIN
        self._segment = segment_name(1)
        self._offset = 0
        self._line = 0
        self._last_leaf = b""
        size = 0 if head is None else head.size
        if head is not None:
            self._seek(head)
        pruned = partial(_pruned, audit, stream)
        store = None if head is None else TileStore.at(self._tiles, *head, self._edge, pruned, shelf)
        if head is not None and store is None:
            raise RefusedError(
                "root_mismatch", "", 0, f"Tiles and records do not make the tree of {size} records that was signed"
            )
        self.store = store or TileStore.new(self._tiles, shelf)
        if head is not None and self._signed_leaf() != self._last_leaf:
            # The last record holds the hash of the one before it, and so on: it stands for all of them.
            message = f"Record {size} is not the one that was signed: put back to an older state, or changed?"
            raise RefusedError("record_changed", self._segment, self._line, message)

    @property
    def reads_device(self) -> bool:
        """Whether the last read went past the page cache."""
        return self._reader.past_cache

    @property
    def size(self) -> int:
        """How many records were read and checked: the leaves of the tree."""
        return self.store.size

    def read(self) -> int:
        """Take in what has become durable; returns how many records are. Raises RefusedError, OSError."""
        mark = read_mark(self.directory)
        if mark is None:
            return self.size
        if mark.seq < self.size:
            self._still_there()
        for extent in extents(self.directory, since=self._segment):
            first = first_seq(extent.path.name)
            if first > mark.first_seq:
                break
            if first < mark.first_seq:
                self._take(extent, extent.counted_bytes)
            elif extent.path.name != self._segment or mark.size_bytes > self._offset:
                self._take(extent, mark.size_bytes)
        return max(mark.seq, self.size)

    def close(self) -> None:
        """Let go of what reading took."""
        self._reader.close()

    def _still_there(self) -> None:
        """A mark can be older than what was signed: it is not synced, and a crash takes it. The records cannot."""
        path = self.directory / self._segment
        try:
            size_bytes = segment_bytes(path)
        except FileNotFoundError:
            size_bytes = 0
        if size_bytes < self._offset:
            message = f"{self._offset - size_bytes} bytes that were signed are gone: put back to an older state?"
            raise RefusedError("stream_cut", self._segment, self._line, message)

    def _take(self, extent: Extent, end: int) -> None:
        """The rest of a segment up to byte `end`."""
        if extent.path.name != self._segment:
            self._enter(extent)
        if end < self._offset:
            raise RefusedError(
                "segment_cut", self._segment, self._line, f"{self._offset - end} bytes that were signed are gone"
            )
        while self._offset < end:
            data = self._reader.read(extent.path, self._offset, min(end, self._offset + _MOST_BYTES))
            whole = data.rfind(b"\n") + 1
            if not whole:
                raise RefusedError("segment_cut", self._segment, self._line, "The segment ends before its durable end")
            self._check(data[: whole - 1].split(b"\n"))
            self._offset += whole

    def _enter(self, extent: Extent) -> None:
        name = extent.path.name
        if first_seq(name) != self.size + 1:
            message = f"The segment begins with record {first_seq(name)} where {self.size + 1} belongs"
            raise RefusedError("segment_missing", name, 0, message)
        self._segment, self._offset, self._line = name, 0, 0

    def _check(self, lines: list[bytes]) -> None:
        """The one check that everything rests on: each record names its number and the hash of the one before it."""
        prev, seq = self._prev, self.size
        for number, line in enumerate(lines):
            seq += 1
            if not line.startswith(b'{"prev":"%b","seq":%d,' % (prev, seq)):
                message = f"Record {seq} is not one that follows the record before it"
                raise RefusedError("chain_broken", self._segment, self._line + number + 1, message)
            prev = chain_hash(line)
        leaves = leaf_hashes(lines)
        if leaf_hashes(lines) != leaves:  # one flipped bit in memory ended a log of certificates for good
            raise OSError(errno.EIO, "the same bytes gave two hashes: this machine's memory is not to be trusted")
        self.store.append(leaves)
        self._prev = prev
        self._line += len(lines)

    def _seek(self, head: Head) -> None:
        """Stand after the last record that was signed. Raises RefusedError when it is not there."""
        for extent in reversed(extents(self.directory)):
            if first_seq(extent.path.name) <= head.size:
                self._segment = extent.path.name
                self._line = head.size - first_seq(extent.path.name) + 1
                lines = list(islice(lines_forward(extent.path, extent.counted_bytes), self._line))
                if len(lines) < self._line or not lines[-1].endswith(b"\n"):
                    break
                self._offset = sum(map(len, lines))
                self._prev = chain_hash(lines[-1][:-1])
                self._last_leaf = leaf_hash(lines[-1][:-1])
                return
        message = f"{head.size} records were signed, and the last of them is not there: put back to an older state?"
        raise RefusedError("stream_cut", self._segment, 0, message)

    def _signed_leaf(self) -> bytes:
        try:
            return self.store.last_leaf(self._edge)
        except TlogError as error:
            message = f"The tile of the last record that was signed is damaged, so nothing is known of it: {error}"
            raise RefusedError("tile_damaged", "", 0, message) from None

    def _edge(self, first: int) -> list[bytes]:
        """Leaf hashes of the signed records from index `first` on, from the segments."""
        return [leaf_hash(line) for line in self._records(first)]

    def _records(self, first: int) -> Iterator[bytes]:
        found = extents(self.directory)
        for extent, after in zip_longest(found, found[1:]):
            start = first_seq(extent.path.name) - 1
            if extent.path.name > self._segment:
                return
            if after is not None and first_seq(after.path.name) <= first + 1:
                continue
            end = self._offset if extent.path.name == self._segment else extent.counted_bytes
            for index, line in enumerate(lines_forward(extent.path, end), start):
                if index >= first:
                    yield line[:-1]


def _pruned(audit: Path, stream: str) -> int:
    """How many records of a stream were pruned. Raises OSError: to be tried again."""
    try:
        return begin_of(prunes(audit).get(stream, [])).size
    except LedgerUnreadableError as error:
        raise OSError(str(error)) from None
