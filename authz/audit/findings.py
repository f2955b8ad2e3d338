"""What verification says: findings that are damage, notes that are not, and what each stream holds."""

from typing import Literal

from msgspec import Struct

IssueKind = Literal[
    "chain_broken",
    "record_unreadable",
    "seq_gap",
    "seq_repeated",
    "time_reversed",
    "segment_missing",
    "segment_cut",
    "segment_grown",
    "segment_statement",
    "segment_unreadable",
]
NoteKind = Literal["ignored_tail", "set_aside", "uncovered", "empty"]


class Issue(Struct, frozen=True):
    """One finding: in which stream and segment, at which line (from 1) and byte (from 0), and what it is.

    `line` 0: it is about the segment as a whole.
    """

    stream: str
    segment: str
    line: int
    offset: int
    kind: IssueKind | NoteKind
    message: str


class StreamReport(Struct, frozen=True):
    """What counts in one stream. `covered_seq`: the last record under a signed checkpoint."""

    stream: str
    segments: int
    records: int
    size_bytes: int
    last_seq: int
    covered_seq: int = 0


class Verification(Struct, frozen=True):
    """`issues` are damage; `notes` are worth knowing and no damage."""

    issues: tuple[Issue, ...]
    notes: tuple[Issue, ...]
    streams: tuple[StreamReport, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong, as far as a chain can tell."""
        return not self.issues
