"""The slow re-reading of what was signed: disks forget, and somebody may have been at the files since."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from authz.audit.auditor.following import RefusedError
from authz.audit.auditor.held import HeldTiles
from authz.audit.auditor.signed import Head
from authz.audit.extent import Extent, extents, line_blocks
from authz.audit.published import tiles_directory
from authz.audit.record import PREV, chain_hash
from authz.audit.segment import first_seq
from authz.audit.status import ScrubStatus
from authz.audit.stored import is_stored
from authz.tlog import TlogError, leaf_hashes

_BLOCK_BYTES: Final = 1 << 18


class Scrubbed(NamedTuple):
    """What one step found wrong in a stream. `done`: it was the last step of a pass over all of that stream.

    A pass that could not look at something is never done: what was wrong there before may be so still.
    """

    stream: str
    found: list[RefusedError]
    done: bool


class Scrubber:
    """Goes round and round the signed records of all streams, a little at each call, as cheap as reading them.

    Each record is held to the one after it and to its leaf in the tiles, and the tiles to the root that was signed.
    """

    def __init__(self, audit: Path) -> None:
        self.status = ScrubStatus()
        self._audit = audit
        self._steps: Iterator[list[RefusedError]] = iter(())
        self._stream = ""
        self._whole_seen = False

    def step(self, heads: dict[str, Head]) -> Scrubbed:
        """Look at about a quarter of a mebibyte."""
        found = next(self._steps, None)
        if found is not None:
            return Scrubbed(self._stream, found, done=False)
        done = Scrubbed(self._stream, [], done=self._whole_seen)
        self._next_stream(heads)
        return done

    def _next_stream(self, heads: dict[str, Head]) -> None:
        after = sorted(name for name in heads if name > self._stream)
        rounds = self.status.rounds
        if not after:
            rounds += bool(self._stream)
            after = sorted(heads)
        self._stream = after[0] if after else ""
        self.status = ScrubStatus(self._stream or None, None, rounds)
        self._steps = self._whole(self._stream, heads[self._stream]) if after else iter(())

    def _whole(self, stream: str, head: Head) -> Iterator[list[RefusedError]]:
        """The segments of one stream, as far as they were signed when this began."""
        self._whole_seen = False
        try:
            found = [each for each in extents(self._audit / stream) if first_seq(each.path.name) <= head.size]
            tree = HeldTiles(tiles_directory(self._audit, stream), head)
        except (OSError, TlogError) as error:
            yield [RefusedError("tile_damaged", "", 0, f"The tree that was signed cannot be read: {error}")]
            return
        whole = True
        for extent in found:
            self.status = ScrubStatus(stream, extent.path.name, self.status.rounds)
            try:
                _forget(extent.path)
                yield from self._segment(extent, head.size, tree)
            except FileNotFoundError:  # pruned meanwhile
                continue
            except (OSError, TlogError) as error:
                if not is_stored(extent.path):  # pruned meanwhile, and its tiles with it
                    continue
                whole = False
                kind = "tile_damaged" if isinstance(error, TlogError) else "segment_unreadable"
                yield [RefusedError(kind, extent.path.name, 0, f"Cannot be held to what was signed: {error}")]
        self._whole_seen = whole

    def _segment(self, extent: Extent, size: int, tree: HeldTiles) -> Iterator[list[RefusedError]]:
        index, prev, name = first_seq(extent.path.name) - 1, None, extent.path.name
        start = index
        for lines, _ in line_blocks(extent.path, extent.counted_bytes, _BLOCK_BYTES):
            signed = lines[: max(0, size - index)]
            wrong: list[RefusedError] = []
            for number, (line, leaf) in enumerate(zip(signed, leaf_hashes(signed), strict=True), index):
                if prev is not None and line[PREV] != prev:
                    message = "This is not the record that the next one was chained to"
                    wrong.append(RefusedError("chain_broken", name, number - start, message))
                elif leaf != tree.leaf(number):
                    message = "This is not the record that was signed"
                    wrong.append(RefusedError("record_changed", name, number - start + 1, message))
                prev = chain_hash(line)
            index += len(lines)
            yield wrong[:8]
            if index >= size:
                return
        if index < min(size, self._end(extent, size)):
            yield [RefusedError("segment_cut", name, index - start, "Records that were signed are missing at its end")]

    def _end(self, extent: Extent, size: int) -> int:
        """How many records the stream has at the end of this segment, as far as that is known."""
        after = extents(extent.path.parent, since=extent.path.name)[1:]
        if not after:
            return size
        opening = after[0].opening
        follows = opening is not None and opening.previous_segment == extent.path.name
        return first_seq(after[0].path.name) - 1 if follows else 0


def _forget(path: Path) -> None:
    """Have the page cache let go of a raw segment, so that it is the disk that is looked at."""
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
