"""What verification says: findings that are damage, notes that are not, and what each stream holds."""

from typing import Literal, NamedTuple

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
    "record_changed",
    "root_mismatch",
    "stream_cut",
    "stream_missing",
    "rollup_mismatch",
    "checkpoint_missing",
    "checkpoint_refused",
    "checkpoint_foreign",
    "checkpoint_unreadable",
    "key_rotation",
]
NoteKind = Literal[
    "ignored_tail",
    "set_aside",
    "uncovered",
    "empty",
    "pruned",
    "tile_damaged",
    "key_rotated",
    "checkpoint_unverified",
    "not_remembered",
]

TrustSource = Literal["given", "beside", "self_declared", "none"]

UNREADABLE: frozenset[str] = frozenset(("segment_unreadable", "checkpoint_unreadable"))
"""Issues that say nothing about the ledger but that it could not be looked at."""


MISSING: frozenset[str] = frozenset(
    ("segment_missing", "segment_cut", "stream_cut", "stream_missing", "checkpoint_missing")
)
"""Issues that are about what is not there, and not about what is."""


class Place(NamedTuple):
    """Where something stands in a stream: line from 1, offset in bytes from 0."""

    segment: str = ""
    line: int = 0
    offset: int = 0


class Issue(Struct, frozen=True):
    """One finding: in which stream and segment, at which line (from 1) and byte (from 0), and what it is.

    `line` 0: it is about the segment as a whole, or, with no segment, about the stream.
    """

    stream: str
    segment: str
    line: int
    offset: int
    kind: IssueKind | NoteKind
    message: str


class Findings:
    """Collects what is found about one stream."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.issues: list[Issue] = []
        self.notes: list[Issue] = []

    def issue(self, kind: IssueKind, place: Place, message: str) -> None:
        """Damage."""
        self.issues.append(Issue(self.stream, *place, kind, message))

    def note(self, kind: NoteKind, place: Place, message: str) -> None:
        """Worth knowing, and no damage."""
        self.notes.append(Issue(self.stream, *place, kind, message))


class Coverage(Struct, frozen=True):
    """What says that the records up to `seq` are what they were: a signed checkpoint, and who signed it.

    `source`: see `ClaimSource`. `where`: the file or record it was read from. `key`: the node's key that it, or the
    checkpoint over it, is signed with, as a vkey.
    """

    seq: int
    source: str
    where: str
    key: str


class StreamReport(Struct, frozen=True):
    """What counts in one stream. `records` are those that are there, `first_seq` is the first of them.

    `covered_seq`: the last record under a signed checkpoint that the records agree with, 0 where there is none;
    `coverage` says which one. `intact`: what is there is as it was recorded. `complete`: nothing is known to be
    missing. Both are known up to `covered_seq`; beyond it the chain tells what it can.
    """

    stream: str
    segments: int
    records: int
    size_bytes: int
    last_seq: int
    covered_seq: int = 0
    first_seq: int = 1
    coverage: Coverage | None = None
    intact: bool = True
    complete: bool = True


class TrustedKeys(Struct, frozen=True):
    """The keys that checkpoints were held to, as vkeys, and where they are from.

    `given`: by whoever asked. `beside`: from `keys/audit.pub` of the state directory, which whoever can write there
    can replace. `self_declared`: from the ledger's own directory, which proves nothing about who wrote it. `none`.
    """

    source: TrustSource
    where: str = ""
    vkeys: tuple[str, ...] = ()


class Verification(Struct, frozen=True):
    """`issues` are damage; `notes` are worth knowing and no damage."""

    issues: tuple[Issue, ...]
    notes: tuple[Issue, ...]
    streams: tuple[StreamReport, ...]
    keys: TrustedKeys = TrustedKeys("none")

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong, as far as the chain and the checkpoints at hand can tell."""
        return not self.issues

    @property
    def undecided(self) -> bool:
        """Whether all that is wrong is that something could not be read: neither intact nor damaged is known."""
        return bool(self.issues) and all(issue.kind in UNREADABLE for issue in self.issues)
