"""What was measured is held to what was promised, and too little is neither yes nor no."""

import pytest

from authz.slos import Judgement, Measured, Verdict, as_dict, as_table, judge, objectives
from authz.slos.report import share

BY_NAME = {each.name: each for each in objectives()}


@pytest.mark.parametrize(
    ("name", "bad", "total", "state"),
    [
        ("api-availability", 0, 10_000, "met"),
        ("api-availability", 5, 10_000, "met"),
        ("api-availability", 6, 10_000, "warning"),
        ("api-availability", 10, 10_000, "warning"),
        ("api-availability", 11, 10_000, "violated"),
        ("errors-4xx", 5, 100, "warning"),
        ("errors-4xx", 6, 100, "violated"),
        ("errors-4xx", 99, 99, "not enough data"),
        ("errors-4xx", 0, 0, "not enough data"),
        ("audit-integrity", 0, 1, "met"),
        ("audit-integrity", 1, 10_000_000_000, "violated"),
        ("audit-integrity", 1, 0, "violated"),
        ("audit-integrity", 0, 0, "not enough data"),
    ],
)
def test_an_objective_is_met_close_or_violated(name: str, bad: float, total: float, state: str) -> None:
    """A promise holds up to exactly its share; integrity has no share; below a hundred events nothing is said."""
    assert judge(BY_NAME[name], Measured(bad, total)).state == state


def test_a_verdict_tells_budget_and_burn_rate() -> None:
    """Half the bad events that were promised use up half of the budget, at half the rate that would use it all."""
    found = judge(BY_NAME["errors-5xx"], Measured(25, 10_000))
    assert (found.share, round(found.burn_rate or 0, 6), round(found.budget_left or 0, 6)) == (0.9975, 0.5, 0.5)


def test_the_raw_rate_is_beside() -> None:
    """The share of allows is told with the rate of success, and changes nothing."""
    found = judge(BY_NAME["auth-success"], Measured(0, 1000, beside=120))
    assert (found.state, found.note) == ("met", "12.0% allowed")


def judgement(**states: str) -> Judgement:
    """A judgement in which the named objectives (with _ for -) are so, and all others met."""
    bad = {"violated": 1000.0, "warning": 40.0, "not enough data": 0.0, "met": 0.0}

    def verdict(name: str) -> Verdict:
        state = states.get(name.replace("-", "_"), "met")
        total = 0.0 if state == "not enough data" else 1000.0
        return judge(BY_NAME[name], Measured(bad[state], total))

    return Judgement(tuple(verdict(name) for name in BY_NAME))


@pytest.mark.parametrize(
    ("states", "overall", "rate", "critical"),
    [
        ({}, True, 1.0, ()),
        ({"errors_4xx": "warning"}, True, 1.0, ()),
        ({"errors_4xx": "violated"}, False, 6 / 7, ()),
        ({"api_latency": "violated", "audit_integrity": "violated"}, False, 5 / 7, ("api-latency", "audit-integrity")),
        ({"api_latency": "not enough data"}, None, 1.0, ()),
        ({"api_latency": "not enough data", "errors_5xx": "violated"}, False, 5 / 6, ()),
        (dict.fromkeys((n.replace("-", "_") for n in BY_NAME), "not enough data"), None, None, ()),
    ],
)
def test_all_objectives_together(
    states: dict[str, str], overall: bool | None, rate: float | None, critical: tuple[str, ...]
) -> None:
    """One violation is a no, else one unknown is no answer; the rate is that of those that could be judged."""
    found = judgement(**states)
    told = as_dict(found)
    assert (found.overall_pass, found.critical_failures) == (overall, critical)
    assert found.success_rate == (None if rate is None else pytest.approx(rate))
    assert (told["overall_pass"], told["critical_failures"]) == (overall, list(critical))


def test_the_table_says_everything_in_one_look() -> None:
    """One row for each objective, figures that are not rounded up, and one sentence at the end."""
    found = Judgement(
        (
            judge(BY_NAME["api-availability"], Measured(9, 100_000)),
            judge(BY_NAME["errors-4xx"], Measured(600, 10_000)),
            judge(BY_NAME["auth-success"], Measured(0, 0)),
            judge(BY_NAME["audit-integrity"], Measured(0, 10_000)),
        )
    )
    assert as_table(found) == (
        "OBJECTIVE          PROMISED  MEASURED  STATE            BAD      OF    BUDGET LEFT  BURN RATE\n"
        "API availability      99.9%   99.991%  met                9  100000          91.0%       0.09\n"
        "4xx error rate        95.0%     94.0%  violated         600   10000         -20.0%       1.20\n"
        "Auth success rate     99.5%         -  not enough data    0       0              -          -\n"
        "Audit integrity      100.0%    100.0%  met                0   10000  none to spend          -\n"
        "\n"
        "Violated: 4xx error rate."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "100.0%"),
        (0.999, "99.9%"),
        (0.99949, "99.95%"),
        (0.99951, "99.95%"),
        (0.9999, "99.99%"),
        (0.999999, "99.9999%"),
        (0.5, "50.0%"),
    ],
)
def test_a_share_is_not_rounded_up_to_something_better(value: float, text: str) -> None:
    """As many digits as it takes to tell 99.95 % from 100 %."""
    assert share(value) == text
