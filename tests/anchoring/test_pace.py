"""When a witness or an anchor is asked next."""

import pytest
from msgspec.structs import replace

from authz.anchoring import HistoryError, OutwardError, OutwardStatus
from authz.anchoring.pace import Pace

from .outside import StoppedClock


@pytest.fixture
def clock() -> StoppedClock:
    """Stands."""
    return StoppedClock()


@pytest.fixture
def pace(clock: StoppedClock) -> Pace:
    """Of an anchor that takes one a minute."""
    before = OutwardStatus(name="a", kind="anchor", size=3, time=1_700_000_000.0)
    return Pace(before, clock, 60)


def test_the_first_one_is_due_at_once(pace: Pace) -> None:
    """Though there was one of that size before the process began."""
    assert (pace.due_in(3), pace.has_done(3), pace.failing) == (0, False, False)


def test_after_a_success_a_new_size_waits_its_turn(pace: Pace, clock: StoppedClock) -> None:
    """And the same size is confirmed every five minutes."""
    pace.succeeded(8)
    assert (pace.due_in(9), pace.due_in(8), pace.has_done(8)) == (60, 300, True)
    clock.time += 59
    assert (pace.due_in(9), pace.due_in(8)) == (1, 241)
    pace.hurried = True
    assert (pace.due_in(9), pace.due_in(8)) == (0, 241)
    assert pace.status == OutwardStatus(name="a", kind="anchor", size=8, time=1_800_000_000.0)


def test_after_failures_the_pause_doubles(pace: Pace, clock: StoppedClock) -> None:
    """From a second up to five minutes, a quarter more at most; hurry does not shorten it, a success does."""
    pauses = []
    for _ in range(12):
        pace.failed(OutwardError("no"))
        pauses.append(pace.due_in(8))
        clock.time += pauses[-1]
        assert pace.due_in(8) == pytest.approx(0, abs=1e-6)
    expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert [least <= pause <= 1.25 * least + 1e-6 for least, pause in zip(expected, pauses, strict=True)] == [True] * 12
    pace.failed(OutwardError("no"))
    pace.hurried = True
    assert pace.due_in(8) >= 300
    pace.succeeded(8)
    pace.failed(OutwardError("no"))
    assert pace.due_in(8) <= 1.25 + 1e-6


def test_a_failure_keeps_what_was_reached(pace: Pace) -> None:
    """Size and time are those of the last success; that a history disagrees is set apart, until it no longer does."""
    pace.failed(OutwardError("no answer"))
    before = OutwardStatus(name="a", kind="anchor", size=3, time=1_700_000_000.0)
    assert pace.status == replace(before, error="no answer")
    pace.failed(HistoryError("another one"))
    assert pace.status == replace(before, error="another one", disagrees=True)
    assert pace.failing
    pace.succeeded(9)
    assert (pace.status.error, pace.status.disagrees, pace.failing) == (None, False, False)


def test_an_anchor_that_is_slower_than_the_confirmation_keeps_its_own_pace(clock: StoppedClock) -> None:
    """Once an hour is once an hour."""
    pace = Pace(OutwardStatus(name="a", kind="anchor", size=0, time=0.0), clock, 3600)
    pace.succeeded(8)
    assert (pace.due_in(8), pace.due_in(9)) == (3600, 3600)
