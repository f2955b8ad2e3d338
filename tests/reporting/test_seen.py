"""The memory of what was reported: long enough, and never larger than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from authz.reporting import Seen
from tests.properties import many


class _Clock:
    """A stopwatch that is set by hand."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def elapsed(self) -> float:
        return self.seconds


@many
@given(st.lists(st.floats(0, 40), max_size=60))
def test_an_id_is_known_for_the_window(pauses: list[float]) -> None:
    """Whatever the pauses between them, an ID is remembered for the window at least."""
    clock = _Clock()
    seen = Seen(clock, window_seconds=100, most=1000)
    added: list[tuple[bytes, float]] = []
    for number, pause in enumerate(pauses):
        clock.seconds += pause
        seen.add([b"%d" % number])
        added.append((b"%d" % number, clock.seconds))
        assert [key for key, at in added if clock.seconds - at < 100 and key not in seen] == []
    assert seen.forgotten_early == 0


@many
@given(st.lists(st.integers(1, 40), max_size=30))
def test_it_never_holds_more_than_it_may(bursts: list[int]) -> None:
    """In a flood the oldest are forgotten, and counted; half of the room is always for the newest."""
    seen = Seen(_Clock(), window_seconds=100, most=64)
    keys = [b"%d-%d" % (burst, at) for burst, size in enumerate(bursts) for at in range(size)]
    seen.add(keys)

    assert len(seen) <= 64
    assert [key for key in keys[-32:] if key not in seen] == []
    assert seen.forgotten_early == len(keys) - len(seen)
