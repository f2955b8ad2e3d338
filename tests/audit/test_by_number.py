"""Records found by their numbers: the right ones, wherever they lie, at the cost of a few reads."""

import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit import by_number
from authz.audit.by_number import records
from authz.audit.compress import compress_sealed
from authz.audit.extent import extents, lines_forward
from authz.audit.frames import blocks_of, compressed
from authz.audit.location import LedgerDamagedError
from authz.audit.segment import segment_names
from authz.audit.stored import compressed_path
from tests.properties import many

from .days import live, sign
from .ledger import STREAM


def record(seq: int, pad: int) -> bytes:
    """As much of a record as is looked at."""
    return b'{"prev":"%064d","seq":%d,"id":"e","ts":"t","type":"x","pad":"%b"}' % (seq, seq, b"x" * pad)


def lay_out(directory: Path, segments: list[list[bytes]], *, torn: bytes = b"") -> list[bytes]:
    """Segments of these records, raw; every one but the last has `torn` behind it. All records, in their order."""
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    number = 1
    for each in segments:
        tail = torn if each is not segments[-1] else b""
        (directory / f"{number:012d}.jsonl").write_bytes(b"".join(line + b"\n" for line in each) + tail)
        number += len(each)
    return [line for each in segments for line in each]


def numbered(sizes: list[list[int]]) -> list[list[bytes]]:
    seq = iter(range(1, 1 + sum(map(len, sizes))))
    return [[record(next(seq), pad) for pad in each] for each in sizes]


@pytest.fixture
def _small_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that small segments are searched in halves too."""
    with monkeypatch.context() as patched:
        patched.setattr(by_number, "_WINDOW_BYTES", 1)
        yield


@pytest.mark.usefixtures("_small_window")
@many
@given(
    sizes=st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=40), min_size=1, max_size=4),
    first=st.integers(1, 170),
    count=st.integers(1, 60),
    packed=st.booleans(),
)
def test_the_records_with_these_numbers(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]], first: int, count: int, packed: bool
) -> None:
    """Of one segment or of several, raw or compressed, lines of any length; as many as there are."""
    directory = tmp_path_factory.getbasetemp() / "generated"
    every = lay_out(directory, numbered(sizes))
    for path in list(directory.glob("*.jsonl"))[:-1] if packed else ():
        compressed_path(path).write_bytes(b"".join(compressed(blocks_of(io.BytesIO(path.read_bytes())))))
        path.unlink()
    assert records(directory, first, count) == every[first - 1 : first - 1 + count]


@pytest.mark.usefixtures("_small_window")
def test_bytes_that_do_not_count_are_passed_over(tmp_path: Path) -> None:
    """A segment may end in records that never counted: those numbers are in the next one."""
    torn = record(4, 10) + b"\n" + record(5, 10)[:40]
    every = lay_out(tmp_path / "s", numbered([[10] * 3, [200] * 4]), torn=torn)
    assert records(tmp_path / "s", 1, 100) == every
    assert records(tmp_path / "s", 4, 2) == every[3:5]


def test_it_is_the_same_as_reading_all_of_it(tmp_path: Path) -> None:
    """Over a real ledger, compressed as it is in life."""
    live(tmp_path / "state", 0, 5)
    sign(tmp_path / "state")
    compress_sealed(tmp_path / "state" / "audit")
    stream = tmp_path / "state" / "audit" / STREAM
    every = [line[:-1] for each in extents(stream) for line in lines_forward(each.path, each.counted_bytes)]
    assert len(list(stream.glob("*.zst"))) == len(segment_names(stream)) - 2
    assert [records(stream, first, 3) for first in range(1, len(every))] == [
        every[first - 1 : first + 2] for first in range(1, len(every))
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_it_ends_where_something_is_gone(tmp_path: Path, packed: bool) -> None:
    """A segment that was pruned, the end of the stream, numbers before the first one."""
    segments = numbered([[10] * 3, [10] * 3, [10] * 3])
    every = lay_out(tmp_path / "s", segments)
    (tmp_path / "s" / "000000000004.jsonl").unlink()
    found = {first: records(tmp_path / "s", first, 9) for first in (1, 3, 4, 6, 7, 9, 10)}
    assert found == {1: every[:3], 3: every[2:3], 4: [], 6: [], 7: every[6:], 9: every[8:], 10: []}
    (tmp_path / "s" / "000000000001.jsonl").unlink()
    assert records(tmp_path / "s", 2, 9) == []


@pytest.mark.parametrize("change", ["gone", "nonsense", "long"])
def test_something_else_in_a_record_s_place_is_damage(tmp_path: Path, change: str) -> None:
    """It is not passed off as that record, and what follows it neither."""
    [lines] = numbered([[10] * 9])
    match change:
        case "gone":
            del lines[4]
        case "nonsense":
            lines[4] = b"nonsense"
        case "long":
            lines[4] = b"x" * 200_000
    lay_out(tmp_path / "s", [lines])
    assert records(tmp_path / "s", 2, 3) == lines[1:4]
    with pytest.raises(LedgerDamagedError, match="not record 5"):
        records(tmp_path / "s", 2, 4)
    assert records(tmp_path / "s", 5, 2) == []
    assert records(tmp_path / "s", 7, 2) == [record(7, 10), record(8, 10)]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_large_segment_is_not_read_through(tmp_path: Path, packed: bool) -> None:
    """Of 48 MB, 256 records take a few reads and little memory, wherever they are."""
    every = lay_out(tmp_path / "s", numbered([[500] * 80_000]))
    [path] = (tmp_path / "s").iterdir()
    if packed:
        compressed_path(path).write_bytes(b"".join(compressed(blocks_of(io.BytesIO(path.read_bytes())))))
        path.unlink()
    took = []
    tracemalloc.start()
    try:
        for first in (1, 40_001, 79_745):
            found = records(tmp_path / "s", first, 256)
            assert found == every[first - 1 : first + 255]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        records(tmp_path / "s", 60_001, 256)
        assert tracemalloc.get_traced_memory()[1] - before < 2_000_000
    finally:
        tracemalloc.stop()
    for first in range(1, 79_000, 3_001):
        begun = time.perf_counter()
        records(tmp_path / "s", first, 256)
        took.append(time.perf_counter() - begun)
    assert sorted(took)[len(took) // 2] < 0.05
    print(f"{'compressed' if packed else 'raw'}: median {sorted(took)[len(took) // 2] * 1e3:.2f} ms")
