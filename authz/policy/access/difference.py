"""Two tables compared: who gains and who loses what, and when."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from authz.core import Action, Policy, check_document, subject_document
from authz.policy.access.table import Holder, Questions, Request, Table, resource_of, subject_of
from authz.policy.access.words import in_words


class Change(Struct, frozen=True, omit_defaults=True):
    """One holder gains or loses one thing.

    `when`: the circumstances in which it does, empty for all of them. `rest`: those in which it could before (a gain)
    or still can (a loss), None for never. `through`: the roles and scopes between the holder and the scope.
    """

    kind: Literal["gain", "loss"]
    holder: Holder
    request: Request
    when: str = ""
    rest: str | None = None
    through: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What approves exactly this change: the same change under the same circumstances, whatever the reason."""
        condition = f" ({self.when})" if self.when else ""
        return f"{self.kind} {self.holder.kind} {self.holder.name or '*'}: {self.request}{condition}"

    def __str__(self) -> str:
        verb = "GAINS" if self.kind == "gain" else "LOSES"
        words = [f"{self.holder} {verb} {self.request}"]
        if self.when:
            words.append(self.when)
        if self.through:
            words.append(f"through {' > '.join(self.through)}")
        if self.rest is not None:
            had = "had it" if self.kind == "gain" else "keeps it"
            words.append(f"({had} {self.rest})")
        return " ".join(words)


class Difference(Struct, frozen=True):
    """What changes between two revisions."""

    old: str
    new: str
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        gains, losses = len(self.of_kind("gain")), len(self.of_kind("loss"))
        counted = f"{self.old} to {self.new}: {_many(gains, 'gain', 'gains')}, {_many(losses, 'loss', 'losses')}"
        return "\n".join((*map(str, self.changes), counted)) if self.changes else f"{counted}; nobody gains or loses"

    def of_kind(self, kind: Literal["gain", "loss"]) -> tuple[Change, ...]:
        """The gains, or the losses."""
        return tuple(change for change in self.changes if change.kind == kind)


def _many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


async def compare(asked: Questions, old: tuple[Policy, Table], new: tuple[Policy, Table]) -> Difference:
    """Every cell in which the tables differ, by holder, scopes before routes."""
    changes = []
    for change in _changed(asked, old[1], new[1]):
        side = new[0] if change.kind == "gain" else old[0]
        changes.append(await _explained(side, change))
    return Difference(old[1].revision, new[1].revision, tuple(changes))


def _changed(asked: Questions, old: Table, new: Table) -> Iterator[Change]:
    for holder in asked.holders:
        for request in asked.requests:
            before, after = old.cells[holder, request], new.cells[holder, request]
            if before == after:
                continue
            grid = asked.grid(request)
            gained, lost = after & ~before, before & ~after
            if gained:
                yield Change(
                    "gain", holder, request, in_words(grid, gained), in_words(grid, before) if before else None
                )
            if lost:
                yield Change("loss", holder, request, in_words(grid, lost), in_words(grid, after) if after else None)


async def _explained(policy: Policy, change: Change) -> Change:
    """With the way the scope comes to the role, where the policy can tell it."""
    if change.request.kind != "scope" or change.holder.kind != "role":
        return change
    check = check_document(
        subject_document(subject_of(change.holder)),
        Action("use"),
        resource_of(policy, change.request),
        {"now": 0},
    )
    explanation = await policy.explain(check)
    chains = explanation.held.get(change.request.path, ()) if explanation is not None else ()
    return Change(change.kind, change.holder, change.request, change.when, change.rest, _between(chains, change))


def _between(chains: Sequence[str], change: Change) -> tuple[str, ...]:
    """The shortest chain without its ends, which are the holder and the scope."""
    steps = sorted((tuple(chain.split(" > ")) for chain in chains), key=len)
    return steps[0][1:-1] if steps and steps[0][0] == change.holder.name else ()
