"""Judging: what was measured, held to what was promised."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from authz.slos.objectives import Objective

State = Literal["met", "warning", "violated", "not enough data"]

MIN_EVENTS: Final = 100
"""Fewer events than this say nothing about a share."""


class Measured(Struct, frozen=True):
    """What happened. `bad` and `total` are numbers of events; `beside` is the share that is only shown."""

    bad: float
    total: float
    beside: float | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """How one objective stands.

    `share`: the good part of all events; None when nothing happened. `burn_rate`: 1 uses up the budget exactly at the
    end of the window. `budget_left`: the part of the budget that is not used, negative when it is overdrawn.
    `note`: what else there is to know.
    """

    objective: str
    title: str
    state: State
    critical: bool
    target: float
    share: float | None
    bad: float
    total: float
    burn_rate: float | None
    budget_left: float | None
    note: str = ""


def judge(objective: Objective, measured: Measured, *, min_events: int = MIN_EVENTS, note: str = "") -> Verdict:
    """Hold one measurement to one objective."""
    bad, total = max(0.0, measured.bad), max(0.0, measured.total)
    bad_share = min(1.0, bad / total) if total else None
    burn = None if bad_share is None or not objective.tolerant else bad_share / objective.budget
    return Verdict(
        objective=objective.name,
        title=objective.title,
        state=_state(objective, bad, total, min_events),
        critical="page" in objective.alerts,
        target=objective.target if objective.tolerant else 1.0,
        share=None if bad_share is None else 1 - bad_share,
        bad=bad,
        total=total,
        burn_rate=burn,
        budget_left=None if burn is None else 1 - burn,
        note="; ".join(part for part in (note, _beside(objective, measured)) if part),
    )


def violated(verdict: Verdict, note: str) -> Verdict:
    """The same verdict after something was found that leaves no doubt."""
    return Verdict(
        objective=verdict.objective,
        title=verdict.title,
        state="violated",
        critical=verdict.critical,
        target=verdict.target,
        share=verdict.share,
        bad=verdict.bad,
        total=verdict.total,
        burn_rate=verdict.burn_rate,
        budget_left=verdict.budget_left,
        note=note,
    )


class Judgement(Struct, frozen=True):
    """All objectives together."""

    verdicts: tuple[Verdict, ...]

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """Those about which there was enough to know."""
        return tuple(each for each in self.verdicts if each.state != "not enough data")

    @property
    def success_rate(self) -> float | None:
        """The part of the judged objectives that is met; None when none could be judged."""
        return None if not self.judged else 1 - len(_violated(self.judged)) / len(self.judged)

    @property
    def critical_failures(self) -> tuple[str, ...]:
        """The violated objectives that page."""
        return tuple(each.objective for each in _violated(self.verdicts) if each.critical)

    @property
    def overall_pass(self) -> bool | None:
        """False as soon as one is violated; None when there is not enough data for every one; else True."""
        if _violated(self.verdicts):
            return False
        return True if len(self.judged) == len(self.verdicts) else None


def _violated(verdicts: Iterable[Verdict]) -> Sequence[Verdict]:
    return [each for each in verdicts if each.state == "violated"]


def _state(objective: Objective, bad: float, total: float, min_events: int) -> State:
    if not objective.tolerant:
        if bad:
            return "violated"
        return "met" if total else "not enough data"
    if total < min_events:
        return "not enough data"
    # Counts are whole, shares are not: 5 bad of 100 is exactly 95 %, whatever the floats make of it.
    if bad > total * objective.budget * (1 + 1e-9):
        return "violated"
    return "warning" if bad > total * (1 - objective.warning) * (1 + 1e-9) else "met"


def _beside(objective: Objective, measured: Measured) -> str:
    if objective.beside is None or measured.beside is None or not measured.total:
        return ""
    return f"{measured.beside / measured.total:.1%} {objective.beside[0]}"
