"""The check of lines: whole blocks at once, and one by one where something is wrong, say the same."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from authz.audit.findings import Findings
from authz.audit.line_check import LineCheck
from authz.audit.record import Chain
from tests.properties import many

from .attacks import rechained
from .ledger import StoppedClock, event

CHAIN = Chain(StoppedClock())
LINES = [CHAIN.append(event(f"e{number}")) for number in range(40)]


def _checked(lines: list[bytes], sizes: list[int]) -> tuple[object, ...]:
    """All that is known after the lines went in, in blocks of these sizes and one for the rest."""
    findings = Findings("main")
    check = LineCheck(findings, parse=True)
    check.enter("000000000001.jsonl")
    for size in sizes:
        check.block(lines[:size])
        lines = lines[size:]
    check.block(lines)
    return findings.issues, check.prev, check.seq, check.last, check.next_place


def _one_by_one(lines: list[bytes]) -> tuple[object, ...]:
    with patch.object(LineCheck, "_holds", return_value=False):
        return _checked(lines, [])


def test_sound_lines_are_looked_at_as_blocks_only() -> None:
    """The quick way is taken, and says where the stream stands."""
    with patch.object(LineCheck, "_one", side_effect=AssertionError):
        check = LineCheck(Findings("main"), parse=True)
        check.enter("000000000001.jsonl")
        check._number = 1
        check.block(LINES)
    assert (check.prev, check.seq) == (CHAIN.prev, 41)
    assert _checked(LINES, [7, 1, 20]) == _one_by_one(LINES)


@many
@given(
    at=st.integers(0, 39),
    byte=st.integers(0, 150),
    value=st.integers(0, 255),
    fit=st.booleans(),
    sizes=st.lists(st.integers(0, 15), max_size=5),
)
def test_blocks_say_what_line_by_line_says(at: int, byte: int, value: int, fit: bool, sizes: list[int]) -> None:
    """Whatever byte is changed to whatever value, with the hashes made to fit or not, in blocks of any size."""
    line = LINES[at]
    lines = [*LINES[:at], line[:byte] + bytes([value]) + line[byte + 1 :], *LINES[at + 1 :]]
    lines = rechained(lines) if fit else lines
    assert _checked(lines, sizes) == _one_by_one(lines)


@many
@given(
    change=st.sampled_from(["drop", "twice", "swap"]),
    at=st.integers(0, 38),
    fit=st.booleans(),
    sizes=st.lists(st.integers(0, 15), max_size=5),
)
def test_so_they_do_when_lines_move(change: str, at: int, fit: bool, sizes: list[int]) -> None:
    """Removed, repeated and swapped lines."""
    changed = {
        "drop": LINES[:at] + LINES[at + 1 :],
        "twice": LINES[: at + 1] + LINES[at:],
        "swap": [*LINES[:at], LINES[at + 1], LINES[at], *LINES[at + 2 :]],
    }[change]
    lines = rechained(changed) if fit else changed
    assert _checked(lines, sizes) == _one_by_one(lines)
