"""How a judgement is shown: a table for people, a dictionary for programs."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from authz.slos.judge import Judgement, Verdict

_HEAD: Final = ("OBJECTIVE", "PROMISED", "MEASURED", "STATE", "BAD", "OF", "BUDGET LEFT", "BURN RATE")
_RIGHT: Final = frozenset({1, 2, 4, 5, 6, 7})
_MOST_NINES: Final = 6


def as_dict(judgement: Judgement) -> dict[str, Any]:
    """The judgement as plain data."""
    return {
        "overall_pass": judgement.overall_pass,
        "success_rate": judgement.success_rate,
        "critical_failures": list(judgement.critical_failures),
        "results": [msgspec.to_builtins(verdict) for verdict in judgement.verdicts],
    }


def as_table(judgement: Judgement) -> str:
    """The judgement as a table, the conclusion last."""
    rows = [_HEAD, *map(_row, judgement.verdicts)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    notes = [f"  {verdict.title}: {verdict.note}" for verdict in judgement.verdicts if verdict.note]
    return "\n".join([*lines, "", *notes, *([""] if notes else []), _conclusion(judgement)])


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.title,
        share(verdict.target),
        "-" if verdict.share is None else share(verdict.share),
        verdict.state,
        f"{verdict.bad:.0f}",
        f"{verdict.total:.0f}",
        "none to spend" if verdict.target == 1 else _or_dash(verdict.budget_left, "{:.1%}"),
        _or_dash(verdict.burn_rate, "{:.2f}"),
    )


def share(value: float) -> str:
    """A share with as many digits as it takes not to round it up to something better than it is."""
    for digits in range(1, _MOST_NINES):
        text = f"{value:.{digits}%}"
        if abs(float(text[:-1]) / 100 - value) <= (1 - value) / 20:
            return text
    return f"{value:.{_MOST_NINES}%}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = enumerate(zip(row, widths, strict=True))
    return [cell.rjust(width) if n in _RIGHT else cell.ljust(width) for n, (cell, width) in cells]


def _conclusion(judgement: Judgement) -> str:
    if judgement.overall_pass is None:
        unknown = [v.title for v in judgement.verdicts if v.state == "not enough data"]
        return f"Not enough data: {', '.join(unknown)}."
    if judgement.overall_pass:
        close = [v.title for v in judgement.verdicts if v.state == "warning"]
        return f"All objectives are met; close: {', '.join(close)}." if close else "All objectives are met."
    broken = [v.title for v in judgement.verdicts if v.state == "violated"]
    return f"Violated: {', '.join(broken)}."
