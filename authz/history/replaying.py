"""Recorded decisions, put to another policy: what would have come out otherwise, how often, for how many subjects."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from authz.audit import LedgerDamagedError, verify
from authz.core import Policy
from authz.history.addresses import standing_for
from authz.history.asking import Known
from authz.history.folding import Fold, Tally
from authz.history.judging import Judge, Judged, Verdict
from authz.history.profile import Profile
from authz.history.reads import Reads

Change = Literal["gain", "loss"]


class Flip(Struct, frozen=True):
    """Decisions that would have come out otherwise: a gain is a deny that would be an allow.

    `scopes`: those that decide it, of the side that allows. `subjects`: how many different ones, as far as
    pseudonyms tell; None where that was not kept. `first`, `last`: when it was seen.
    """

    change: Change
    where: str
    scopes: tuple[str, ...]
    before: str
    after: str
    enforced: bool
    decisions: int
    subjects: int | None
    first: str
    last: str

    def __str__(self) -> str:
        verb = "would be allowed" if self.change == "gain" else "would be denied"
        people = "" if self.subjects is None else f" of {self.subjects} subjects"
        seen = f"{self.decisions} decisions{people}, {self.first[:19]}Z to {self.last[:19]}Z"
        by = f" by {', '.join(self.scopes)}" if self.scopes else ""
        apart = "" if self.enforced else ", not enforced then either"
        return f"{self.where} {verb}{by} ({self.before} -> {self.after}): {seen}{apart}"


class Untold(Struct, frozen=True):
    """Decisions of which nobody can say how they would have come out, and why."""

    where: str
    why: str
    decisions: int

    def __str__(self) -> str:
        return f"{self.where} cannot be told, {self.why}: {self.decisions} decisions"


class Replay(Struct, frozen=True):
    """What came of it. `decisions`: all that were read; `observed` of them were not enforced.

    `beside`: those that were no policy's to decide (a limit was spent, the engine failed). `other_reasons`: same answer
    for another reason. `profiles`: how many different questions it took.
    """

    revision: str
    decisions: int
    observed: int
    same: int
    other_reasons: int
    beside: int
    profiles: int
    flips: tuple[Flip, ...] = ()
    untold: tuple[Untold, ...] = ()

    @property
    def flipped(self) -> int:
        """How many decisions would have come out otherwise."""
        return sum(each.decisions for each in self.flips)

    @property
    def unanswered(self) -> int:
        """Of how many nobody can say it."""
        return sum(each.decisions for each in self.untold)

    def of(self, change: Change | Literal["any"]) -> int:
        """How many decisions changed in this way."""
        return sum(each.decisions for each in self.flips if change in (each.change, "any"))

    def __str__(self) -> str:
        told = [*map(str, self.flips), *map(str, self.untold)]
        rest = f"{self.same} the same ({self.other_reasons} for another reason), {self.beside} no policy's to decide"
        apart = f", {self.observed} of them not enforced" if self.observed else ""
        told.append(
            f"{self.decisions} decisions{apart} under {self.revision}: {self.flipped} flip, "
            f"{self.unanswered} cannot be told, {rest}"
        )
        return "\n".join(told)


class _Kind(NamedTuple):
    """Flips that are told together."""

    allow: bool
    where: str
    scopes: tuple[str, ...]
    before: str
    after: str
    enforced: bool


class Replaying:
    """Answers profiles as they come, under one policy; `result` when all of them came.

    `place`: what a profile asked for, in the words of the result.
    """

    def __init__(
        self, policy: Policy, reads: Reads, known: Known, since: str = "", place: Callable[[Profile], str] | None = None
    ) -> None:
        self._judge = Judge(policy, reads, known)
        self._place = place or _where
        self._answers: dict[Profile, Judged] = {}
        self.fold = Fold(since, moments=cuts(reads), addresses=standing_for(reads.networks), met=self._answer)

    def take(self, profiles: Mapping[Profile, Tally]) -> None:
        """Profiles that somebody else has folded."""
        self.fold.tallies.update(profiles)
        self.fold.decisions += sum(each.count for each in profiles.values())
        self._answer(list(profiles))

    def _answer(self, profiles: list[Profile]) -> None:
        tallies = self.fold.tallies
        for profile, verdict in self._judge.verdicts((each, tallies[each]) for each in profiles).items():
            self._answers[profile] = verdict
            if isinstance(verdict, Verdict) and verdict.allow == (profile.decision == "allow"):
                tallies[profile].subjects = None

    def result(self) -> Replay:
        """What came of all of it."""
        flips: dict[_Kind, Tally] = {}
        untold: dict[tuple[str, str], int] = {}
        same = other = beside = 0
        for profile, tally in self.fold.tallies.items():
            verdict = self._answers[profile]
            if verdict is None:
                beside += tally.count
            elif isinstance(verdict, str):
                where = self._place(profile)
                untold[where, verdict] = untold.get((where, verdict), 0) + tally.count
            elif verdict.allow != (profile.decision == "allow"):
                scopes = verdict.scopes if verdict.allow else profile.scopes
                kind = _Kind(
                    verdict.allow, self._place(profile), scopes, profile.reason, verdict.reason, profile.enforced
                )
                if kind in flips:
                    flips[kind].merge(tally)
                else:
                    flips[kind] = tally.copy()
            else:
                same += tally.count
                other += tally.count if verdict.reason != profile.reason else 0
        return Replay(
            revision=self._judge.policy.revision,
            decisions=self.fold.decisions,
            observed=sum(tally.count for profile, tally in self.fold.tallies.items() if not profile.enforced),
            same=same,
            other_reasons=other,
            beside=beside,
            profiles=len(self.fold.tallies),
            flips=tuple(_flips(flips)),
            untold=tuple(
                Untold(*key, count) for key, count in sorted(untold.items(), key=lambda each: (-each[1], each[0]))
            ),
        )


def _where(profile: Profile) -> str:
    return profile.where


def cuts(reads: Reads) -> tuple[str, ...]:
    """The times at which answers may change, as they sort among recorded ones: behind all of their second."""
    return tuple(datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%dT%H:%M:%S.999999Z") for each in reads.moments)


def replay(replaying: Replaying, path: Path | None, progress: Callable[[int], None] = lambda _bytes: None) -> Replay:
    """Replay a ledger that verifies. Raises LedgerUnreadableError, and LedgerDamagedError where it does not verify."""
    read_verified(replaying.fold, path, progress)
    return replaying.result()


def read_verified(fold: Fold, path: Path | None, progress: Callable[[int], None] = lambda _bytes: None) -> None:
    """Fold a ledger that is intact: chain, tree and what was signed. Raises as `replay`."""
    found = verify(path, parse=False, progress=progress, reader=fold.read)
    if not found.intact:
        said = "; ".join(f"{each.stream}/{each.segment}:{each.line} {each.kind}" for each in found.issues[:3])
        raise LedgerDamagedError(f"the ledger is not intact ({said}); run `authz audit verify`")


def _flips(tallies: Mapping[_Kind, Tally]) -> list[Flip]:
    found = [
        Flip(
            change="gain" if kind.allow else "loss",
            where=kind.where,
            scopes=kind.scopes,
            before=kind.before,
            after=kind.after,
            enforced=kind.enforced,
            decisions=tally.count,
            subjects=None if tally.subjects is None else len(tally.subjects),
            first=tally.first,
            last=tally.last,
        )
        for kind, tally in tallies.items()
    ]
    return sorted(found, key=lambda flip: (flip.change, -flip.decisions, flip.where))
