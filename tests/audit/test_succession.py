"""Leaving a stream: the next one begins by command, visibly, and the old one stays as it was."""

import asyncio
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from authz.audit import LedgerWriter, StreamBegun, begin_successor, get_audit_events, newest_successor, verify
from authz.core import AuditUnavailableError, BadRequestError, ConfigurationError

from .ledger import SystemClock, event


def live(audit: Path, stream: str, *names: str) -> None:
    """One orderly life of a stream."""

    async def lived() -> None:
        ledger = LedgerWriter(audit, stream, clock=SystemClock())
        await ledger.open()
        for name in names:
            await ledger.record(event(name))
        await ledger.close()

    asyncio.run(lived())


def told(audit: Path) -> list[dict[str, Any]]:
    """What the ledger says of streams that were begun, in which stream, oldest first."""
    found = get_audit_events(path=audit, type="audit.stream_begun")
    header = {"prev", "seq", "id", "ts", "type"}
    return [{name: value for name, value in each.items() if name not in header} for each in found][::-1]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def test_the_next_stream_goes_on_and_says_after_which(tmp_path: Path) -> None:
    """There and in the stream of commands: what was left, where it stood, why and by whom; all of it verifies."""
    live(tmp_path, "worker-0", "a", "b")
    before = contents(tmp_path / "worker-0")
    last = before["000000000001.jsonl"].splitlines()[-1]
    begun = begin_successor(tmp_path, "worker-0", "restored from a snapshot")
    said = {
        "successor": "worker-0.1",
        "after": "worker-0",
        "after_seq": json.loads(last)["seq"],
        "after_hash": sha256(last).hexdigest(),
        "reason": "restored from a snapshot",
        "uid": os.getuid(),
    }
    assert begun == StreamBegun(**said)
    assert told(tmp_path) == [{**said, "stream": "cli"}, {**said, "stream": "worker-0.1"}]
    assert contents(tmp_path / "worker-0") == before
    assert newest_successor(tmp_path, "worker-0") == "worker-0.1"
    live(tmp_path, "worker-0.1", "c")
    assert verify(tmp_path).issues == ()


def test_successors_are_numbered_on(tmp_path: Path) -> None:
    """Beyond nine as well; only the newest can be left, and the refusal names it."""
    live(tmp_path, "worker-0")
    for number in range(11):
        begin_successor(tmp_path, newest_successor(tmp_path, "worker-0"), f"reason {number}")
    assert newest_successor(tmp_path, "worker-0") == "worker-0.11"
    with pytest.raises(BadRequestError, match=r"'worker-0\.11' goes on after 'worker-0' already"):
        begin_successor(tmp_path, "worker-0", "again")
    with pytest.raises(BadRequestError, match=r"'worker-0\.11' goes on"):
        begin_successor(tmp_path, "worker-0.10", "again")


def test_a_stream_that_is_written_cannot_be_left(tmp_path: Path) -> None:
    """Nor can any while another command writes to the stream of commands; then nothing was begun."""

    async def beside(stream: str) -> None:
        ledger = LedgerWriter(tmp_path, stream, clock=SystemClock())
        await ledger.open()
        with pytest.raises(AuditUnavailableError, match="another process"):
            await asyncio.to_thread(begin_successor, tmp_path, "worker-0", "why")
        await ledger.close()

    live(tmp_path, "worker-0", "a")
    for stream in ("worker-0", "cli"):
        asyncio.run(beside(stream))
    assert newest_successor(tmp_path, "worker-0") == "worker-0"
    assert not (tmp_path / "worker-0.1").exists()


def test_a_command_that_was_cut_short_can_be_given_again(tmp_path: Path) -> None:
    """A successor without a segment is none yet: the next try makes it whole."""
    live(tmp_path, "worker-0", "a")
    (tmp_path / "worker-0.1").mkdir()
    assert newest_successor(tmp_path, "worker-0") == "worker-0"
    assert begin_successor(tmp_path, "worker-0", "why").successor == "worker-0.1"
    assert newest_successor(tmp_path, "worker-0") == "worker-0.1"


def test_a_stream_that_vanished_can_be_left_if_it_was_ever_signed(tmp_path: Path) -> None:
    """It stays vanished. Of one that nobody knows it is a mistake to speak."""
    live(tmp_path, "worker-1")
    (tmp_path / "tiles" / "worker-0").mkdir(parents=True)
    begun = begin_successor(tmp_path, "worker-0", "its directory is gone")
    assert (begun.successor, begun.after_seq, begun.after_hash) == ("worker-0.1", 0, None)
    assert not (tmp_path / "worker-0").exists()
    with pytest.raises(BadRequestError, match="there is no stream 'worker-7'"):
        begin_successor(tmp_path, "worker-7", "why")


def test_a_damaged_end_is_passed_over(tmp_path: Path) -> None:
    """The last record that can be read is the one that is named."""
    live(tmp_path, "worker-0", "a", "b")
    segment = tmp_path / "worker-0" / "000000000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.chmod(0o600)
    segment.write_bytes(b"".join(lines[:3]) + b"{}\n")
    begun = begin_successor(tmp_path, "worker-0", "why")
    assert (begun.after_seq, begun.after_hash) == (3, sha256(lines[2][:-1]).hexdigest())


def test_the_stream_of_commands_can_be_left_too(tmp_path: Path) -> None:
    """Then only its successor says so, and it is the one that later commands write to."""
    live(tmp_path, "worker-0", "a")
    live(tmp_path, "cli", "b")
    begin_successor(tmp_path, "cli", "why")
    begin_successor(tmp_path, "worker-0", "why")
    assert [(each["stream"], each["successor"]) for each in told(tmp_path)] == [
        ("cli.1", "cli.1"),
        ("cli.1", "worker-0.1"),
        ("worker-0.1", "worker-0.1"),
    ]


@pytest.mark.parametrize("name", ["audit", "tiles", "../x", "", "A"])
def test_what_is_no_name_of_a_stream_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(ConfigurationError, match="audit stream"):
        begin_successor(tmp_path, name, "why")


def test_a_reason_is_asked_for(tmp_path: Path) -> None:
    """An empty one is none."""
    live(tmp_path, "worker-0")
    with pytest.raises(BadRequestError, match=r"^reason: "):
        begin_successor(tmp_path, "worker-0", " ")


def test_a_name_with_a_number_of_its_own_is_no_successor(tmp_path: Path) -> None:
    """`pod.7` without a `pod` is a first stream; the next one is `pod.7.1`."""
    live(tmp_path, "pod.7")
    assert begin_successor(tmp_path, "pod.7", "why").successor == "pod.7.1"
