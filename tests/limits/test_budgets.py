"""Budgets: exact against a model while they fit, bounded when they do not."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from authz.core import Limit
from authz.limits import Budgets
from authz.limits.budgets import Refusal, Spending, spending
from tests.properties import many

SECOND = 1_000_000_000
TEN_A_MINUTE = spending(1, Limit("s", 10, 60, 2))


class Use(NamedTuple):
    """Some spendings at once, after a while."""

    after: int
    wanted: list[tuple[int, Limit]]


LIMITS = st.builds(
    Limit,
    st.just("s"),
    st.integers(1, 20),
    st.integers(1, 20),
    st.one_of(st.none(), st.integers(1, 30)),
)
USES = st.lists(
    st.builds(
        Use,
        st.one_of(st.just(0), st.integers(0, 40 * SECOND)),
        st.lists(st.tuples(st.integers(0, 5), LIMITS), min_size=1, max_size=3, unique_by=lambda pair: pair[0]),
    ),
    max_size=60,
)


class Model:
    """What a budget is, in words: so much is left, it grows with time, and is never more than full."""

    def __init__(self) -> None:
        self.spent_until: dict[int, int] = {}

    def spend(self, wanted: list[Spending], now: int) -> Refusal | None:
        """All or nothing."""
        waits = [max(self.spent_until.get(each.key, 0), now) - now - each.tolerance for each in wanted]
        longest = max(waits)
        if longest > 0:
            return Refusal(waits.index(longest), longest)
        for each in wanted:
            self.spent_until[each.key] = max(self.spent_until.get(each.key, 0), now) + each.interval
        return None


@many
@given(USES, st.integers(0, 3 * SECOND))
def test_answers_are_exact_while_budgets_fit(uses: list[Use], start: int) -> None:
    """Whatever is spent when, the answer is the model's, which never forgets; and no more is kept than there is."""
    budgets, model, now = Budgets(6), Model(), start
    for use in uses:
        now += use.after
        wanted = [spending(key, limit) for key, limit in use.wanted]
        answer = model.spend(wanted, now)
        if len(wanted) == 1:
            assert budgets.spend_one(*wanted[0], now) == (0 if answer is None else answer.wait)
        else:
            assert budgets.spend(wanted, now) == answer
        assert len(budgets) <= 6
    assert budgets.forgotten == 0


def test_a_burst_passes_and_then_one_for_each_interval() -> None:
    """Ten a minute with a burst of two: two at once, and one more every six seconds."""
    budgets = Budgets(10)
    answers = [budgets.spend((TEN_A_MINUTE,), at * SECOND) for at in (0, 0, 0, 5, 6, 6, 18, 18, 18)]
    assert answers == [
        None,
        None,
        Refusal(0, 6 * SECOND),
        Refusal(0, SECOND),
        None,
        Refusal(0, 6 * SECOND),
        None,
        None,
        Refusal(0, 6 * SECOND),
    ]


def test_nothing_is_spent_where_one_budget_is_empty() -> None:
    """Of several limits all are spent or none: the full one is still full after a refusal."""
    budgets = Budgets(10)
    roomy, narrow = spending(1, Limit("s", 2, 3600)), spending(2, Limit("s", 1, 3600))
    assert budgets.spend((roomy, narrow), 0) is None
    assert budgets.spend((roomy, narrow), 0) == Refusal(1, 3600 * SECOND)
    assert budgets.spend((roomy,), 0) is None
    assert budgets.spend((roomy,), 0) == Refusal(0, 1800 * SECOND)


def test_a_limit_that_does_not_divide_evenly_is_never_exceeded() -> None:
    """Seven a second is 142,857,143 ns each, rounded up: over a day it is not one too many."""
    each = spending(1, Limit("s", 7, 1, 1))
    assert each.interval * 7 >= SECOND
    assert each.interval * 7 - SECOND < 7


def test_what_is_full_again_makes_room() -> None:
    """Budgets that say nothing any more are dropped, however many keys come by."""
    budgets = Budgets(1_000)
    for key in range(100_000):
        budgets.spend((spending(key, Limit("s", 100, 1)),), key * SECOND // 100)
    assert budgets.forgotten == 0
    assert len(budgets) <= 300


def test_more_keys_than_fit_cost_the_fullest_their_memory() -> None:
    """Over capacity the budget that would be full soonest gives way; the emptiest are remembered to the end."""
    budgets = Budgets(100)
    slow, fast = Limit("s", 1, 3600), Limit("s", 1, 10)
    for key in range(50):
        assert budgets.spend((spending(key, slow),), 0) is None
    for key in range(50, 10_000):
        assert budgets.spend((spending(key, fast),), 0) is None
    assert (len(budgets), budgets.forgotten) == (100, 9_900)
    assert all(budgets.spend((spending(key, slow),), 0) is not None for key in range(50))
