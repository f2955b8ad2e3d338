"""Before a policy is put in force: what it would have made of the newest decisions, and whether that may be."""

import time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.activation.apart import NoAnswerError, asked_apart
from authz.activation.errors import ReplayError
from authz.config import PolicySettings
from authz.history import Recent, Rehearsal, Rehearsed
from authz.metrics import POLICY_REPLAYED_TOTAL

REPLAY_SECONDS: Final = 60.0
_CHILD: Final = "authz.history.child"
_SHOWN: Final = 10


class Replayed(Struct, frozen=True):
    """A revision put to the newest decisions. `at`: seconds since the epoch; `accepted`: by whom, where too many flip.

    `decisions` of them were asked, `left_out` could not be. `told`: the flips, most frequent first, and what cannot be
    told, in sentences. `trouble`: why it could not be replayed; then there are no counts.
    """

    revision: str
    at: float
    decisions: int = 0
    flipped: int = 0
    untold: int = 0
    left_out: int = 0
    told: tuple[str, ...] = ()
    trouble: str = ""
    accepted: str = ""

    def too_many(self, most: int) -> bool:
        """Whether more decisions flip or cannot be told than may, or nobody knows."""
        return bool(self.trouble) or self.flipped + self.untold > most

    def hold_to(self, most: int) -> None:
        """Raises ReplayError, with the ways on, where more decisions flip or cannot be told than may."""
        if self.trouble:
            raise ReplayError(f"it cannot be replayed: {self.trouble}; {_way_on(self.revision)}")
        if self.too_many(most):
            said = f"{self} (policy.replay_max_flips: {most} may); {_way_on(self.revision)}"
            raise ReplayError("\n".join((said, *self.told)))

    def __str__(self) -> str:
        if self.trouble:
            return f"not replayed: {self.trouble}"
        rest = f", {self.left_out} of earlier revisions were left out" if self.left_out else ""
        return f"{self.flipped} of the newest {self.decisions} decisions flip, {self.untold} cannot be told{rest}"

    @property
    def record(self) -> dict[str, Any]:
        """As events hold it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in found.items() if name not in ("revision", "at") and value != ""}


class Rehearsals:
    """Has policies replayed, each in a process of its own."""

    def __init__(self, settings: PolicySettings, state: Path) -> None:
        self._settings = settings
        self._state = state

    @property
    def wanted(self) -> bool:
        """Whether `policy.replay_sample` asks for it."""
        return self._settings.replay_sample > 0

    @property
    def most_flips(self) -> int:
        """How many decisions may flip, or not be told."""
        return self._settings.replay_max_flips

    async def of(self, revision: str, archive: bytes, active: bytes) -> Replayed:
        """What the archive makes of the newest decisions, beside the one in force; or why that cannot be known."""
        most, max_bytes = self._settings.replay_sample, max(self._settings.max_bytes, len(active))
        question = Rehearsal(str(self._state), most, len(active), max_bytes)
        payload = (msgspec.json.encode(question) + b"\n", active, archive)
        try:
            answer = await asked_apart(_CHILD, payload, REPLAY_SECONDS, Rehearsed)
        except NoAnswerError as error:
            answer = Rehearsed(trouble=f"it {error}")
        if answer.recent is None:
            return Replayed(revision, time.time(), trouble=answer.trouble)
        _count(answer.recent)
        return _replayed(revision, answer.recent)


def _replayed(revision: str, found: Recent) -> Replayed:
    replay = found.replay
    flips = sorted(replay.flips, key=lambda each: -each.decisions)
    told = [*map(str, flips), *map(str, replay.untold)]
    more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return Replayed(
        revision=revision,
        at=time.time(),
        decisions=replay.decisions,
        flipped=replay.flipped,
        untold=replay.unanswered,
        left_out=found.left_out,
        told=(*told[:_SHOWN], *more),
    )


def _count(found: Recent) -> None:
    replay = found.replay
    counted = POLICY_REPLAYED_TOTAL.labels
    counted("same").inc(replay.same)
    counted("flipped").inc(replay.flipped)
    counted("untold").inc(replay.unanswered)
    counted("beside").inc(replay.beside)
    counted("left_out").inc(found.left_out)


def _way_on(revision: str) -> str:
    return f"what is in force stays; `authz policy activate {revision} --accept-flips` takes it all the same"
