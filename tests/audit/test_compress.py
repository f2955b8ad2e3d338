"""Compression of sealed segments: the same bytes in less space, one whole form at every moment."""

import asyncio
import errno
import shutil
from pathlib import Path

import pytest

from authz.audit import WriterLimits, verify
from authz.audit.compress import Compression, Compressor, compress, compress_sealed
from authz.audit.frames import open_compressed
from authz.audit.segment import segment_names
from authz.audit.stored import compressed_path
from authz.audit.upkeep import UpkeepBusyError, upkeep

from .ledger import STREAM, FaultyFiles, assert_sound, event, lines, writer
from .published import publish


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one stream of several segments and no checkpoint."""
    asyncio.run(fill(tmp_path / "audit", 40))
    return tmp_path


async def fill(audit: Path, count: int) -> None:
    ledger = writer(audit, limits=WriterLimits(segment_bytes=2_000))
    await ledger.open()
    for number in range(count):
        await ledger.record(event(f"e{number}"))
    await ledger.close()


def files_of(state: Path) -> dict[str, bytes]:
    """Every file of the stream that holds records."""
    return {path.name: path.read_bytes() for path in (state / "audit" / STREAM).glob("*.jsonl*")}


def raw_names(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "audit" / STREAM).glob("*.jsonl"))


def contents(state: Path) -> list[bytes]:
    return lines(state / "audit")


def test_all_that_is_covered_is_compressed_but_the_newest_two(state: Path) -> None:
    """The same records, raw files gone, the new ones for reading only; doing it again does nothing."""
    names, before = raw_names(state), contents(state)
    publish(state, STREAM)
    assert compress_sealed(state / "audit") == Compression(tuple(f"{STREAM}/{name}" for name in names[:-2]))
    assert sorted(files_of(state)) == sorted([f"{name}.zst" for name in names[:-2]] + names[-2:])
    assert {path.stat().st_mode & 0o777 for path in (state / "audit" / STREAM).glob("*.zst")} == {0o440}
    assert contents(state) == before
    assert verify(state).issues == ()
    assert compress_sealed(state / "audit") == Compression()


@pytest.mark.parametrize("spared", [0, 1])
def test_a_segment_is_left_alone_until_its_last_record_is_covered(state: Path, spared: int) -> None:
    """A checkpoint over all its records but one is not enough; without any checkpoint nothing is touched."""
    assert compress_sealed(state / "audit") == Compression()
    names = raw_names(state)
    publish(state, STREAM, int(names[2][:12]) - 1 - spared)
    assert len(compress_sealed(state / "audit").done) == 2 - spared


def test_a_round_does_as_much_as_it_may(state: Path) -> None:
    """Oldest first, so that a backlog does not hold up whoever calls."""
    publish(state, STREAM)
    names = raw_names(state)
    rounds = Compressor(state / "audit")
    assert [rounds.round().done for _ in range(2)] == [(f"{STREAM}/{name}",) for name in names[:2]]


def test_bytes_that_do_not_count_are_kept_too(state: Path) -> None:
    """What a crash left behind is evidence: the whole file is compressed, not what counts of it."""
    path = state / "audit" / STREAM / raw_names(state)[0]
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(b'{"torn')
    data = path.read_bytes()
    publish(state, STREAM)
    compress_sealed(state / "audit")
    with open_compressed(compressed_path(path)) as file:
        assert file.read() == data


FAULTS = [
    ("create", [errno.EACCES]),
    ("write", [errno.ENOSPC]),
    ("write", [None, errno.EIO]),
    ("fdatasync", [errno.EIO]),
    ("sync_directory", [errno.EIO]),
]


@pytest.mark.parametrize(("operation", "codes"), FAULTS)
def test_a_disk_that_fails_costs_nothing_but_the_compression(
    state: Path, operation: str, codes: list[int | None]
) -> None:
    """The raw file stays and is read, nothing half is left, it is said, and later it is tried again."""
    publish(state, STREAM)
    before, files, now = contents(state), FaultyFiles(), [0.0]
    rounds = Compressor(state / "audit", files, lambda: now[0])
    files.fail(operation, *codes)
    first, second = raw_names(state)[:2]
    found = rounds.round()
    assert found.done == ()
    assert [sentence.partition(":")[0] for sentence in found.failed] == [f"{STREAM}/{first} is not compressed"]
    assert list((state / "audit" / STREAM).glob("*.part")) == []
    assert contents(state) == before
    assert rounds.round().done == (f"{STREAM}/{second}",)
    now[0] = 600.0
    assert rounds.round().done == (f"{STREAM}/{first}",)
    assert contents(state) == before


def test_bytes_that_read_back_differently_are_thrown_away(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that writes something else is found before the raw file is given up."""
    publish(state, STREAM)
    before = files_of(state)

    class Lying(FaultyFiles):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, bytes(data)[:-1] + b"?")

    found = Compressor(state / "audit", Lying()).round()
    assert ["reads back other bytes" in sentence for sentence in found.failed] == [True]
    assert files_of(state) == before


def test_a_disk_that_is_nearly_full_is_left_to_the_writer(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compression takes space before it gives any."""
    publish(state, STREAM)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10_000, 9_000, 1_000))
    found = compress_sealed(state / "audit")
    assert found.done == ()
    assert "bytes are free on the disk" in found.failed[0]


def test_what_a_crash_left_in_both_forms_is_finished(state: Path) -> None:
    """If they agree the raw one goes; a part that was never finished is written anew."""
    publish(state, STREAM)
    first, second = (state / "audit" / STREAM / name for name in raw_names(state)[:2])
    shutil.copy(first, state / "saved")
    compress(first, FaultyFiles())
    shutil.copy(state / "saved", first)
    second.with_name(f"{second.name}.zst.part").write_bytes(b"half")
    before = contents(state)
    assert len(compress_sealed(state / "audit").done) == len(segment_names(first.parent)) - 2
    assert not first.exists()
    assert contents(state) == before
    assert list(first.parent.glob("*.part")) == []


def test_two_forms_that_disagree_both_stay(state: Path) -> None:
    """One of them is not what was written; a person has to look. The raw one is what counts."""
    publish(state, STREAM)
    first = state / "audit" / STREAM / raw_names(state)[0]
    compress(state / "audit" / STREAM / raw_names(state)[1], FaultyFiles())
    shutil.copy(next(first.parent.glob("*.zst")), compressed_path(first))
    before, data = contents(state), files_of(state)
    found = Compressor(state / "audit").round()
    assert ["the compressed form holds other bytes" in sentence for sentence in found.failed] == [True]
    assert (contents(state), files_of(state)) == (before, data)


def test_upkeep_is_done_by_one_process_at_a_time(state: Path) -> None:
    """A compression gives way to an archive or a prune that is running, and leaves the ledger alone."""
    publish(state, STREAM)
    with upkeep(state / "audit"):
        assert compress_sealed(state / "audit") == Compression()
        with (
            pytest.raises(UpkeepBusyError, match="another compression, archive or prune is running"),
            upkeep(state / "audit", wait_seconds=0.1),
        ):
            pytest.fail("two at a time")
    assert compress_sealed(state / "audit").done
    assert_sound(state / "audit", [f"e{number}" for number in range(40)])
