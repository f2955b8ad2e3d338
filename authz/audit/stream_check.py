"""One pass over one stream: every record that counts against the one before it and against what was signed."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from authz.audit.claims import Claims
from authz.audit.extent import Extent, extents, line_blocks, lines_forward
from authz.audit.findings import Coverage, Findings, Place, StreamReport
from authz.audit.line_check import LineCheck
from authz.audit.prune_record import Pruned
from authz.audit.segment import first_seq, void_names
from authz.audit.segment_check import check_length, check_opening, explained_holes
from authz.audit.tree_check import TreeCheck
from authz.tlog import CompactRange, leaf_hashes

Observer = Callable[[Sequence[bytes], int], None]
"""Is given the records of a stream as they are read, many at a time, with the number of the first of them."""


class SegmentGoneError(Exception):
    """A segment was listed and is not there any more: it was pruned meanwhile, or somebody removes it."""


class Task(NamedTuple):
    """What to hold a stream to. `tiles`: directory of its published tree, None when it has none.

    `pruned` is asked when the first records are gone, with the number of the first that is there.
    """

    directory: Path
    claims: Claims
    tiles: Path | None
    pruned: Callable[[int], Pruned | None]
    parse: bool
    progress: Callable[[int], None]
    observe: Observer | None = None


class StreamCheck:
    """Fills `findings`."""

    def __init__(self, task: Task, findings: Findings) -> None:
        self._task = task
        self._findings = findings
        self._pruned: Pruned | None = None
        self._starts: list[tuple[int, Extent]] = []
        self._records = 0
        self._counted_bytes = 0
        self._lines: LineCheck
        self._tree: TreeCheck

    def run(self) -> StreamReport:
        """Check the stream. What cannot be read is a finding, not an error. Raises SegmentGoneError: begin again."""
        found, voided = self._list()
        found = self._start(found)
        before = self._pruned.segments[-1].name if self._pruned and self._pruned.segments else None
        for extent, after in zip(found, [*found[1:], None], strict=False):
            self._segment(before, extent, after)
            before = extent.path.name
        for name in voided:
            self._findings.note("set_aside", Place(name), "Set aside after a failure: nothing in it counts")
        last_seq = (self._lines.seq or 1) - 1
        self._tree.end(last_seq, self._lines.last)
        return self._report(len(found), last_seq)

    def _list(self) -> tuple[list[Extent], list[str]]:
        try:
            return extents(self._task.directory), void_names(self._task.directory)
        except OSError as error:
            self._findings.issue("segment_unreadable", Place(), f"The stream cannot be read: {error}")
            return [], []

    def _start(self, found: list[Extent]) -> list[Extent]:
        """Where the checks begin, and the segments from there on: at the first record, or after what was pruned."""
        pruned = explained_holes(found, self._task.pruned)
        tree = CompactRange()
        if pruned is None:
            self._lines = LineCheck(self._findings, parse=self._task.parse)
        else:
            tree, seq = pruned.tree(), pruned.minimum_index + 1
            self._pruned, self._records = pruned, pruned.minimum_index
            self._lines = LineCheck(self._findings, parse=self._task.parse, seq=seq, prev=pruned.chain_hash.encode())
            found = [extent for extent in found if first_seq(extent.path.name) >= seq]
        self._tree = TreeCheck(tree, self._task.claims, self._task.tiles, self._findings, self._locate)
        return found

    def _report(self, segments: int, last_seq: int) -> StreamReport:
        findings, lines, pruned = self._findings, self._lines, self._pruned
        first = 1 if pruned is None else pruned.minimum_index + 1
        if pruned is not None:
            what = f"Records 1 to {pruned.minimum_index} were removed, as the record of that command says"
            findings.note("pruned", Place(), f"{what} (reason: {pruned.reason})")
        covered = self._tree.covered
        covered_seq = 0 if covered is None else covered.size
        if not last_seq:
            findings.note("empty", lines.last, "The stream holds no record")
        elif last_seq > covered_seq:
            findings.note("uncovered", lines.last, _uncovered(covered_seq, last_seq, disputed=self._tree.disputed))
        coverage = None
        if covered is not None and covered.key is not None:
            coverage = Coverage(covered_seq, covered.source, covered.where, covered.key)
        return StreamReport(
            findings.stream,
            segments,
            self._records - (first - 1),
            self._counted_bytes,
            last_seq,
            covered_seq,
            first,
            coverage,
        )

    def _segment(self, before: str | None, extent: Extent, after: Extent | None) -> None:
        self._starts.append((self._records, extent))
        if (after is not None or extent.begun) and not check_opening(extent, before, self._findings):
            self._hole()
        try:
            self._read(extent, is_last=after is None)
        except FileNotFoundError as error:
            raise SegmentGoneError(extent.path.name) from error
        except OSError as error:
            self._findings.issue("segment_unreadable", Place(extent.path.name), f"Cannot be read: {error}")
            self._hole()
        if after is not None and after.opening is not None:
            check_length(extent, after.opening, self._findings)
        self._task.progress(extent.size_bytes)

    def _hole(self) -> None:
        self._lines.lose()
        self._tree.stop()

    def _read(self, extent: Extent, *, is_last: bool) -> None:
        """The lines of a segment."""
        self._lines.enter(extent.path.name)
        rest = b""
        for lines, left in line_blocks(extent.path, extent.counted_bytes):
            rest = left
            if self._task.observe is not None and lines:
                self._task.observe(lines, self._records + 1)
            self._lines.block(lines)
            if self._tree.wants:
                self._tree.extend(leaf_hashes(lines))
            self._records += len(lines)
        place = self._lines.next_place
        self._counted_bytes += place.offset
        self._lines.leave()
        if not rest:
            return
        if is_last:
            what = f"{len(rest)} bytes after the last record: being written, or cut by a crash"
            self._findings.note("ignored_tail", place, what)
        else:
            self._findings.issue(
                "record_unreadable", place, "What counts of this segment ends in the middle of a record"
            )

    def _locate(self, index: int) -> Place:
        """Where the record with this index stands, as far as it was read; no place for one that was pruned."""
        started = [each for each in self._starts if each[0] <= index]
        if not started:
            return Place()
        start, extent = max(started, key=lambda each: each[0])
        before = index - start
        try:
            offset = sum(map(len, islice(lines_forward(extent.path, extent.counted_bytes), before)))
        except OSError:
            offset = 0
        return Place(extent.path.name, before + 1, offset)


def _uncovered(covered_seq: int, last_seq: int, *, disputed: bool) -> str:
    if disputed:
        return f"No checkpoint agrees with the records {covered_seq + 1} to {last_seq}"
    subject = f"Records {covered_seq + 1} to {last_seq} are not covered" if covered_seq else "Not covered"
    return (
        f"{subject} by a checkpoint yet: a change of the last record, a cut at the end or a ledger rewritten as a "
        "whole would not be found"
    )
