"""A log with most of it withheld is still the whole log."""

import io
import itertools

from hypothesis import given
from hypothesis import strategies as st

from authz.audit.evidence.redacted import RedactedLog, subtrees
from authz.audit.evidence.verify import read_log
from authz.tlog import CompactRange, leaf_hash
from tests.properties import many


class Leaves:
    """The hashes of a tree in memory, the plainest way."""

    def __init__(self, lines: list[bytes]) -> None:
        self.hashes = [leaf_hash(line) for line in lines]

    def subtree_root(self, level: int, index: int, /) -> bytes:
        """See HashReader."""
        return self.root(index << level, (index + 1) << level)

    def root(self, low: int, high: int) -> bytes:
        """Root over these leaves."""
        tree = CompactRange()
        tree.extend(self.hashes[low:high])
        return tree.root()


def _lines(count: int) -> list[bytes]:
    form = b'{"prev":"%064d","seq":%d,"ts":"t","type":"t","revision":"r%d"}'
    return [form % (number, number + 1, number) for number in range(count)]


@many
@given(data=st.data(), compact=st.booleans())
def test_whatever_is_withheld_the_root_is_the_same(data: st.DataObject, compact: bool) -> None:
    """And so is the root at the one earlier size that was asked for; leaves between two records have a row each."""
    size = data.draw(st.integers(1, 300))
    # No two neighbours: their chain is made up.
    shown = sorted(data.draw(st.sets(st.integers(0, (size - 1) // 2), min_size=1)))
    shown = [2 * index for index in shown]
    edge = data.draw(st.integers(0, size))
    lines = _lines(size)
    leaves, file = Leaves(lines), io.BytesIO()
    log = RedactedLog(file, leaves, edge=edge, compact=compact)
    for index, line in enumerate(lines[: data.draw(st.integers(shown[-1] + 1, size))]):
        if index in shown:
            log.show(index, line)
        elif log.shown:
            log.withhold(leaves.hashes[index])
    log.finish(size)
    file.seek(0)
    found = read_log(file, [edge])
    assert (found.size, found.root) == (size, leaves.root(0, size))
    assert edge == 0 or found.roots == {edge: leaves.root(0, edge)}
    assert (found.shown, found.first, found.last) == (len(shown), shown[0] + 1, shown[-1] + 1)
    assert found.revisions == {f"r{index}" for index in shown}
    rows = file.getvalue().splitlines()
    between = rows[rows.index(lines[shown[0]]) : rows.index(lines[shown[-1]]) + 1]
    if not compact:
        assert len(between) == shown[-1] - shown[0] + 1
    assert len(rows) - len(between) <= 4 * 9


@many
@given(low=st.integers(0, 10**9), count=st.integers(0, 10**9))
def test_any_stretch_is_a_few_perfect_subtrees(low: int, count: int) -> None:
    """Side by side, each where it can stand, and no two that would be one."""
    at, found = low, list(subtrees(low, low + count))
    for level, index in found:
        assert index << level == at
        at += 1 << level
    assert at == low + count
    pairs = itertools.pairwise(found)
    assert not [pair for pair in pairs if pair[0][0] == pair[1][0] and pair[0][1] % 2 == 0]
