"""IDs of decisions and events are UUIDs of version 7: unique, and in the order of time."""

import time
import uuid

import pytest

from authz.ids import IdSource


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version and variant bits are those of RFC 9562 section 5.7, in the usual 36 characters."""
    new_id = IdSource()
    for _ in range(1000):
        made = new_id()
        read = uuid.UUID(made)
        assert str(read) == made
        assert (read.version, read.variant) == (7, uuid.RFC_4122)


def test_an_id_tells_its_time() -> None:
    """The first 48 bits are the milliseconds since the epoch."""
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(IdSource()()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ID of a later millisecond sorts after every earlier one, as text."""
    new_id = IdSource()
    moments = [0, 1, 255, 256, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1]
    made: list[str] = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment * 1_000_000)
        made += sorted(new_id() for _ in range(20))
    assert made == sorted(made)


def test_ids_are_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand IDs of one and the same millisecond, from two sources, are all different."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    one, other = IdSource(), IdSource()
    made = {source() for _ in range(50_000) for source in (one, other)}
    assert len(made) == 100_000


def test_all_74_bits_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bits that are neither time nor version nor variant, each is sometimes 0 and sometimes 1."""
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    new_id = IdSource()
    ones = zeros = 0
    for _ in range(200):
        value = uuid.UUID(new_id()).int
        ones, zeros = ones | value, zeros | ~value
    varying = ones & zeros
    assert varying == (0xFFF << 64) | (2**62 - 1)
