"""What was put in force, kept in `<state>/bundles/`: one archive for each revision, and a journal of them.

The journal is trusted as far as the state directory is: whoever can write there could pin an older policy, signed all
the same. Archives are verified again whenever they are read to be put in force.
"""

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from authz import bundle
from authz.activation.errors import ConflictError, NotKeptError, SequenceError
from authz.core import ConfigurationError
from authz.examination import Examined

_JOURNAL: Final = "activations.json"
_DAY_SECONDS: Final = 86_400.0


class Kept(Struct, frozen=True, kw_only=True):
    """One revision that is kept. Times in seconds since the epoch; `left_at` None: in force, or not yet."""

    revision: str
    sha256: str
    content: str
    sequence: int
    key_ids: tuple[str, ...]
    source: str
    activated_at: float | None = None
    left_at: float | None = None
    by: str = ""


class Journal(Struct, frozen=True, kw_only=True):
    """All that is known of what was put in force. `pinned`: a rollback holds, by whom and why."""

    active: str = ""
    pinned: str = ""
    highest_sequence: int = 0
    confirmed_at: float = 0.0
    kept: tuple[Kept, ...] = ()

    def find(self, revision: str) -> Kept | None:
        """The kept revision of this name."""
        return next((each for each in self.kept if each.revision == revision), None)

    @property
    def previous(self) -> Kept | None:
        """What was in force before the active revision."""
        left = [each for each in self.kept if each.left_at is not None and each.revision != self.active]
        return max(left, key=lambda each: each.left_at or 0.0, default=None)

    def with_kept(self, added: Kept) -> "Journal":
        """The journal with this revision, in place of what was known of it."""
        others = tuple(each for each in self.kept if each.revision != added.revision)
        return msgspec.structs.replace(self, kept=(*others, added))

    def activated(self, revision: str, now: float, by: str, pinned: str) -> "Journal":
        """The journal once this kept revision is in force."""
        kept = []
        for each in self.kept:
            if each.revision == revision:
                kept.append(msgspec.structs.replace(each, activated_at=now, left_at=None, by=by))
            elif each.revision == self.active:
                kept.append(msgspec.structs.replace(each, left_at=now))
            else:
                kept.append(each)
        chosen = self.find(revision)
        highest = max(self.highest_sequence, chosen.sequence if chosen else 0)
        return msgspec.structs.replace(
            self, active=revision, pinned=pinned, highest_sequence=highest, kept=tuple(kept), confirmed_at=now
        )


class BundleStore:
    """The directory of kept bundles. Reads and writes files: not on the event loop."""

    def __init__(self, state: Path) -> None:
        self._directory = state / "bundles"

    def read_journal(self) -> Journal:
        """The journal; an empty one where there is none. Raises ConfigurationError for one that cannot be read.

        It holds the pin and the highest sequence: going on without it would forget both.
        """
        path = self._directory / _JOURNAL
        try:
            return msgspec.json.decode(path.read_bytes(), type=Journal)
        except FileNotFoundError:
            return Journal()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{path}: cannot be read ({type(error).__name__}). It says which policy a rollback holds and which are "
                "too old: put it back, or move the directory away to begin anew"
            ) from None

    def write_journal(self, journal: Journal) -> None:
        """Make the journal durable. Raises OSError; then the one before it stands."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        bundle.write(self._directory / _JOURNAL, msgspec.json.format(msgspec.json.encode(journal), indent=1))
        self._sync()

    def keep(self, revision: str, archive: bytes) -> None:
        """Make an archive durable under its revision. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        bundle.write(self._path(revision), archive)
        self._sync()

    def archive(self, revision: str) -> bytes:
        """A kept archive. Raises NotKeptError."""
        try:
            return self._path(revision).read_bytes()
        except OSError:
            raise NotKeptError(f"revision: there is no bundle of {revision} in {self._directory}") from None

    def prune(self, journal: Journal, oldest_record_at: float | None) -> Journal:
        """Remove the revisions that no kept record can name; the active one and the one before it always stay.

        A revision that was left a day before the oldest kept record can be named by none: the day is for clocks that
        were set. Raises OSError.
        """
        if oldest_record_at is None:
            return journal
        staying = {journal.active, journal.previous.revision if journal.previous else ""}
        gone = {
            each.revision
            for each in journal.kept
            if each.left_at is not None
            and each.left_at < oldest_record_at - _DAY_SECONDS
            and each.revision not in staying
        }
        if not gone:
            return journal
        pruned = msgspec.structs.replace(journal, kept=tuple(e for e in journal.kept if e.revision not in gone))
        self.write_journal(pruned)
        for revision in gone:
            self._path(revision).unlink(missing_ok=True)
        return pruned

    def _path(self, revision: str) -> Path:
        # A revision has passed the reader's check, or is one of the journal: it leads nowhere else.
        path = self._directory / f"{revision}.tar.gz"
        if path.parent != self._directory:
            raise NotKeptError("revision: not a name")
        return path

    def _sync(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def hold_to_journal(journal: Journal, found: Examined, *, ordered: bool) -> None:
    """Make sure that a bundle is neither older than one that was in force nor another one of a revision that is kept.

    `ordered`: bundles are signed, so that their sequences mean something. Raises SequenceError, ConflictError.
    """
    known = journal.find(found.revision)
    if known is not None and known.content != found.content:
        raise ConflictError(f"another bundle of revision {found.revision} is kept: build it anew from changed sources")
    if not ordered:
        return
    if found.sequence < journal.highest_sequence:
        raise SequenceError(
            f"its sequence is {found.sequence} and {journal.highest_sequence} was in force: sign it with a higher one, "
            "or go back by `authz policy rollback`"
        )
    same = [each for each in journal.kept if each.sequence == found.sequence and each.activated_at is not None]
    if found.sequence and any(each.revision != found.revision for each in same):
        raise SequenceError(f"its sequence {found.sequence} is that of {same[0].revision}: sign it with a higher one")
