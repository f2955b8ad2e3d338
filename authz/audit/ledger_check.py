"""The check of a whole ledger: every stream for itself, and all of them against what the node said of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from authz.audit.claims import Claim, Claims
from authz.audit.findings import MISSING, Findings, Place, StreamReport, Verification
from authz.audit.heads import Head, head_missing, published_streams, read_head
from authz.audit.kept import Kept
from authz.audit.node_claims import NodeClaims
from authz.audit.prune_lookup import pruned_before
from authz.audit.published import tiles_directory
from authz.audit.rollup_record import AUDITOR
from authz.audit.stream_check import Observer, SegmentGoneError, StreamCheck, Task
from authz.audit.successors import split_number
from authz.audit.trust import Trust

_TRIES: Final = 3
"""How often a stream is begun anew because segments of it were pruned while it was read."""


Reader = Callable[[str, Sequence[bytes], int], None]
"""Is given the records of every stream as they are read: stream, records, number of the first of them."""


class Scope(NamedTuple):
    """What is checked: some streams of the ledger in `audit`. `whole`: all that there should be."""

    audit: Path
    directories: tuple[Path, ...]
    whole: bool
    parse: bool
    progress: Callable[[int], None]
    reader: Reader | None = None


class LedgerCheck:
    """One check. `heads` are the checkpoints it found beside the streams; use it once."""

    def __init__(self, scope: Scope, trust: Trust, kept: list[Kept]) -> None:
        self.heads: dict[str, Head] = {}
        self._scope = scope
        self._trust = trust
        self._kept = kept
        self._stack = ExitStack()
        self._nodes: list[NodeClaims] = []
        self._reports: dict[str, StreamReport] = {}
        self._findings: dict[str, Findings] = {}

    def run(self) -> Verification:
        """Check everything. The node's own streams come first: what they say is held against the others."""
        with self._stack:
            self._check_all()
        found = [self._findings[name] for name in sorted(self._findings)]
        issues = tuple(issue for each in found for issue in each.issues)
        notes = tuple(note for each in found for note in each.notes)
        reports = tuple(_judged(self._reports[name], self._findings[name]) for name in sorted(self._reports))
        return Verification(issues, notes, reports, self._trust.told)

    def _check_all(self) -> None:
        for directory in sorted(self._scope.directories, key=_node_first):
            self._check(directory)
        if self._scope.whole:
            self._missing()
        for kept in self._kept:
            self._doubt(kept)

    def _check(self, directory: Path) -> None:
        """A stream of which segments vanish while it is read is begun anew: there is a record of it by now, or not."""
        stream = directory.name
        for _ in range(_TRIES):
            findings = self._findings[stream] = Findings(stream)
            node = self._node(stream) if _is_node(stream) else None
            head = read_head(self._scope.audit, self._trust, findings)
            check = StreamCheck(self._task(directory, head, node), findings)
            try:
                report = check.run()
            except SegmentGoneError as error:
                findings.issue("segment_missing", Place(str(error)), "It was there and is gone")
                continue
            self._reports[stream] = report
            if node is not None:
                self._hear(node, report, findings)
            if head is not None:
                self.heads[stream] = head
            elif report.last_seq and not _refused(findings) and self._should_be_signed(stream):
                head_missing(findings)
            return

    def _node(self, stream: str) -> NodeClaims:
        return self._stack.enter_context(closing(NodeClaims(stream)))

    def _hear(self, node: NodeClaims, report: StreamReport, findings: Findings) -> None:
        """What a stream of the node says counts from here on."""
        node.covered_seq = report.covered_seq
        node.key = None if report.coverage is None else report.coverage.key
        node.report(findings)
        self._nodes.append(node)

    def _task(self, directory: Path, head: Head | None, node: NodeClaims | None) -> Task:
        scope, stream = self._scope, directory.name
        few = [kept.claim for kept in self._kept if kept.stream == stream]
        tiles = tiles_directory(scope.audit, stream)
        return Task(
            directory,
            Claims(few if head is None else [head.claim, *few], lambda: self._rolled_up(stream)),
            tiles if tiles.is_dir() else None,
            lambda first_seq: pruned_before(scope.audit, stream, first_seq),
            scope.parse,
            scope.progress,
            self._observer(stream, node),
        )

    def _observer(self, stream: str, node: NodeClaims | None) -> Observer | None:
        reader = self._scope.reader
        if reader is None:
            return None if node is None else node.observe

        def observe(lines: Sequence[bytes], first: int) -> None:
            if node is not None:
                node.observe(lines, first)
            reader(stream, lines, first)

        return observe

    def _rolled_up(self, stream: str) -> Iterator[Claim]:
        return merge(*(node.of(stream) for node in self._nodes), key=lambda claim: claim.size)

    def _sizes(self) -> dict[str, int]:
        """The streams in the roll-ups, and how many records they say that each has."""
        listed = [(stream, size) for node in self._nodes for stream, size in node.streams().items()]
        return dict(sorted(listed, key=lambda one: one[1]))

    def _should_be_signed(self, stream: str) -> bool:
        """A stream without a checkpoint is new, unless somebody knows better.

        Who states a key expects signatures: with a signed roll-up a stream that it does not list yet is new.
        """
        if stream in self._sizes() or any(kept.stream == stream for kept in self._kept):
            return True
        signed = not _is_node(stream) and any(node.key is not None for node in self._nodes)
        return self._trust.source == "given" and not signed

    def _missing(self) -> None:
        """Streams that somebody speaks of and that are not there."""
        expected = dict.fromkeys(published_streams(self._scope.audit), "its checkpoint is there")
        for stream, size in self._sizes().items():
            expected[stream] = f"the node's roll-up speaks of {size} records"
        for kept in self._kept:
            expected[kept.stream] = f"{kept.claim.where} speaks of {kept.claim.size} records"
        if self._trust.source == "given":
            expected.setdefault(AUDITOR, "in it a node says which streams it has")
        for stream in expected.keys() - self._findings.keys():
            findings = self._findings[stream] = Findings(stream)
            findings.issue("stream_missing", Place(), f"There is no such stream, but {expected[stream]}")

    def _doubt(self, kept: Kept) -> None:
        """A checkpoint kept elsewhere that is of another ledger, or by a key that is not known here."""
        findings = self._findings.setdefault(kept.stream, Findings(kept.stream))
        nodes = {key.name for key in self._trust.keys}
        if nodes and kept.node not in nodes:
            what = f"{kept.claim.where} is of the node {kept.node}, this ledger says that it is {', '.join(nodes)}'s"
            findings.issue("checkpoint_foreign", Place(), what)
        elif kept.doubt is not None:
            what = f"{kept.claim.where}: size and root are compared, but who signed it is not known: {kept.doubt}"
            findings.note("checkpoint_unverified", Place(), what)


def _is_node(stream: str) -> bool:
    return split_number(stream)[0] == AUDITOR


def _node_first(directory: Path) -> tuple[bool, int, str]:
    """The node's own streams, the newest first: it speaks of those before it."""
    base, number = split_number(directory.name)
    return base != AUDITOR, -number, directory.name


def _judged(report: StreamReport, findings: Findings) -> StreamReport:
    missing = [issue.kind in MISSING for issue in findings.issues]
    return replace(report, intact=all(missing), complete=not any(missing))


def _refused(findings: Findings) -> bool:
    return any(issue.kind in ("checkpoint_refused", "checkpoint_unreadable") for issue in findings.issues)
