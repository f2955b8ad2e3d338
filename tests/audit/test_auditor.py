"""What the auditor signs and what it refuses to sign, round by round on real files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.audit import verify
from authz.audit.auditor.auditor import AGAIN_SECONDS
from authz.audit.durable import MARK_NAME, Mark, mark_text, read_mark

from .auditing import Node
from .ledger import STREAM
from .published import leaves

SEGMENT = "000000000001.jsonl"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with an auditor and no stream yet."""
    made = Node(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("records", [1, 100, 254, 255, 600, pytest.param(70_000, marks=pytest.mark.slow)])
def test_growth_is_signed(node: Node, records: int) -> None:
    """Each round signs the root over all records, over the lives of writer and auditor; verification agrees."""
    size = 0
    for _ in range(2):
        size = node.write(records)
        node.auditor.round()
        assert node.signed() == node.head(size)
        size = node.write(1)
        node.restart().round()
        assert node.signed() == node.head(size)
    assert (node.alarms(), verify(node.state).issues) == ([], ())
    assert verify(node.state).streams[0].covered_seq == size


def test_nothing_past_the_durable_mark_is_signed(node: Node) -> None:
    """Records past it may be in the page cache only; with no mark that checks out nothing is signed."""
    node.write(50)
    directory, first = node.audit / STREAM, node.segments()[0]
    whole = (directory / MARK_NAME).read_bytes()
    lines = first.read_bytes().splitlines(keepends=True)
    for mark, size in ((b"", None), (whole[:-2] + b"0\n", None), (_mark(lines, 1), 1), (_mark(lines, 20), 20)):
        (directory / MARK_NAME).write_bytes(mark)
        node.auditor.round()
        assert node.signed() == (None if size is None else node.head(size))
    (directory / MARK_NAME).write_bytes(whole)
    node.auditor.round()
    assert node.signed() == node.head(52)


def _mark(lines: list[bytes], records: int) -> bytes:
    return mark_text(Mark(1, sum(map(len, lines[:records])), records))


@pytest.mark.parametrize("regrown", [0, 400])
@pytest.mark.parametrize("running", [True, False])
def test_a_stream_that_was_put_back_is_refused(node: Node, regrown: int, running: bool) -> None:
    """Whether it is shorter than what was signed or has grown past it again, and whether the auditor ran or not."""
    node.write(200)
    before = shutil.copytree(node.audit / STREAM, node.state / "before")
    node.write(200)
    node.auditor.round()
    head = node.signed()
    shutil.rmtree(node.audit / STREAM)
    shutil.copytree(before, node.audit / STREAM)
    if regrown:
        node.write(regrown, tag="other")
    if not running:
        node.restart()
    node.auditor.round()
    assert node.signed() == head
    [(stream, kind, _, _)] = node.alarms()
    assert (stream, kind in {"stream_cut", "record_changed"}) == (STREAM, True)
    assert node.status().refused is not None


@pytest.mark.parametrize("records", [50, 254, 510])
def test_the_last_signed_record_is_held_to_its_leaf(node: Node, records: int) -> None:
    """Changed while the auditor was away, with nothing after it that is chained to it: not signed on."""
    size = node.write(records)
    node.auditor.round()
    head = node.signed()
    node.change(size)
    node.write(5)
    node.restart().round()
    assert (node.signed(), node.alarms()) == (head, [(STREAM, "record_changed", SEGMENT, size)])


@pytest.mark.parametrize("gone", [True, False])
def test_the_last_signed_record_and_its_tile(node: Node, gone: bool) -> None:
    """At a multiple of 256 the last leaf is in a full tile: removed or changed with the record, it excuses nothing."""
    size = node.write(254)
    node.auditor.round()
    head = node.signed()
    node.change(size)
    tile = node.audit / "tiles" / STREAM / "tile" / "0" / "000"
    tile.unlink()
    if not gone:
        tile.write_bytes(b"".join(leaves(node.audit / STREAM)[:256]))
    node.write(5)
    node.restart().round()
    assert (node.signed(), node.alarms()) == (head, [(STREAM, "tile_damaged", "", 0)])


def test_an_older_mark_after_a_crash_is_no_alarm(node: Node) -> None:
    """The mark is not synced: a crash of the machine takes it, and not what it spoke of."""
    node.write(50)
    lines = node.segments()[0].read_bytes().splitlines(keepends=True)
    node.auditor.round()
    (node.audit / STREAM / MARK_NAME).write_bytes(_mark(lines, 1))
    node.auditor.round()
    assert (node.alarms(), node.signed()) == ([], node.head(52))
    node.restart().round()
    assert (node.alarms(), node.signed()) == ([], node.head(52))
    size = node.write(5)
    node.auditor.round()
    assert (node.alarms(), node.signed()) == ([], node.head(size))


@pytest.mark.parametrize("left", ["checkpoint", "nothing"])
def test_without_its_memory_it_goes_by_what_it_published(node: Node, left: str) -> None:
    """signed.db lost and the stream put back: nothing smaller than the published checkpoint is signed."""
    node.write(50)
    before = shutil.copytree(node.audit / STREAM, node.state / "before")
    node.write(50)
    node.auditor.round()
    head = node.signed()
    for path in (node.state / "auditor").iterdir():
        path.unlink()
    shutil.rmtree(node.audit / STREAM)
    if left == "checkpoint":
        shutil.copytree(before, node.audit / STREAM)
    node.restart().round()
    kind = "stream_cut" if left == "checkpoint" else "stream_missing"
    assert (node.signed(), [alarm[:2] for alarm in node.alarms()]) == (head, [(STREAM, kind)])


@pytest.mark.parametrize("name", ["checkpoint", "52"])
def test_what_could_not_be_published_is_published_later(node: Node, name: str) -> None:
    """A full disk for tile or checkpoint: `covered_at` stands still until a later round has done it."""
    node.shelf.name = name
    node.write(50)
    begun = node.clock.time
    node.auditor.round()
    node.clock.time += 5
    node.auditor.round()
    status = node.status()
    assert (node.signed(), status.covered_at, "No space left" in (status.trouble or "")) == (None, begun, True)
    node.shelf.name = ""
    node.clock.time += 5
    node.auditor.round()
    assert node.signed() == node.head(52)
    assert (node.status().covered_at, node.status().trouble, node.alarms()) == (node.clock.time, None, [])


def test_a_broken_chain_is_refused_where_it_breaks(node: Node) -> None:
    """In records that are not signed yet, with segment and line; what is before and other streams stay signed."""
    size = node.write(20)
    node.auditor.round()
    covered_at = node.clock.time
    node.write(20)
    before = node.change(7, segment=1)
    other = node.write(10, "other")
    for _ in range(2):
        node.clock.time += 1
        node.auditor.round()
        assert (node.signed(), node.signed("other")) == (node.head(size), node.head(other, "other"))
        assert node.alarms() == [(STREAM, "chain_broken", f"{size + 1:012d}.jsonl", 8)]
        assert node.status().covered_at == covered_at, "what was durable since is not covered"
        assert node.status("other").covered_at == node.clock.time
    node.segments()[1].write_bytes(before)
    node.clock.time += AGAIN_SECONDS
    node.auditor.round()
    assert (node.alarms(), node.signed()) == ([], node.head(44))


def test_a_stream_that_vanished_is_refused_until_it_is_back(node: Node) -> None:
    """With nothing of it changed it is signed again, and the alarm is lifted, but not at each round."""
    size = node.write(20)
    node.auditor.round()
    (node.audit / STREAM).rename(node.state / "away")
    node.auditor.round()
    assert (node.alarms(), node.status().size) == ([(STREAM, "stream_missing", "", 0)], size)
    assert node.auditor.rollup().streams[0].size == size
    (node.state / "away").rename(node.audit / STREAM)
    size = node.write(20)
    node.clock.time += AGAIN_SECONDS / 2
    node.auditor.round()
    assert (node.alarms(), node.signed()) == ([(STREAM, "stream_missing", "", 0)], node.head(22))
    node.clock.time += AGAIN_SECONDS
    node.auditor.round()
    assert (node.alarms(), node.signed(), node.status().refused) == ([], node.head(size), None)


@pytest.mark.parametrize("records", [50, 254, 700])
def test_lost_partial_tiles_are_made_again(node: Node, records: int) -> None:
    """They are not durable: after a power cut the tree is put together from full tiles and records."""
    node.write(records)
    node.auditor.round()
    for path in (node.audit / "tiles").rglob("*.p"):
        shutil.rmtree(path)
    node.restart().round()
    assert node.scrub() == [], "nor is that damage to the tree"
    size = node.write(7)
    node.auditor.round()
    assert (node.alarms(), node.signed()) == ([], node.head(size))
    assert verify(node.state).issues == ()


def test_it_says_how_much_waits(node: Node) -> None:
    """Durable records that no checkpoint covers, of streams that were read once."""
    node.write(20)
    node.auditor.round()
    node.write(20)
    mark = read_mark(node.audit / STREAM)
    assert (node.auditor.waiting, mark is not None and mark.seq) == (22, 44)
    node.auditor.round()
    assert node.auditor.waiting == 0
