"""What the auditor tells a human: each alarm once, kept over restarts, recorded, and lifted when its reason is gone."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from authz.audit import AuditorProcess, LedgerWriter
from authz.audit.auditor.alarms import MOST_FOUND
from authz.audit.auditor.following import RefusedError
from authz.audit.extent import extents, lines_forward
from authz.audit.lock import StreamLock
from authz.audit.status import AuditorStatus, read_status
from authz.config import AuditSettings
from authz.core import AuditUnavailableError, ConfigurationError, Event
from authz.tlog import Signer

from .auditing import OWN, Node
from .ledger import STREAM, SystemClock
from .published import leaves

SEGMENT = "000000000001.jsonl"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with one stream of two segments, signed."""
    made = Node(tmp_path)
    made.write(20)
    made.write(600)
    made.auditor.round()
    yield made
    made.stop()


def test_a_changed_signed_record_is_found_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """With kind, segment and line; it stays over a restart without being told again, and is lifted when mended."""
    said: list[str] = []
    log = SimpleNamespace(critical=lambda event, **_: said.append(event), warning=lambda event, **_: said.append(event))
    monkeypatch.setattr("authz.audit.auditor.alarms._log", log)
    found = [(STREAM, "chain_broken", SEGMENT, 7), (STREAM, "record_changed", SEGMENT, 7)]
    before = node.change(7)
    assert node.scrub() == found
    told = node.auditor.alarms.unrecorded
    node.auditor.alarms.keep(told)
    assert (len(told), node.scrub(), node.auditor.alarms.unrecorded) == (2, found, [])
    node.restart()
    assert (node.alarms(), node.scrub(), node.auditor.alarms.unrecorded) == (found, found, [])
    assert said == ["audit_alarm"] * 2
    node.segments()[0].write_bytes(before)
    assert node.scrub() == []
    assert node.restart().alarms.standing == ()


def test_a_record_rewritten_with_all_that_follows_is_found(node: Node) -> None:
    """The chain and the tiles of the leaves made to fit: the tiles above them lead to the root that was signed."""
    path = node.segments()[0]
    node.change(22)  # the last of its segment: no line of this file is chained to it
    tile = node.audit / "tiles" / STREAM / "tile" / "0" / "000"
    tile.chmod(0o600)
    tile.write_bytes(b"".join(leaves(node.audit / STREAM)[:256]))
    assert (STREAM, "tile_damaged", path.name, 0) in node.scrub()


def test_what_cannot_be_looked_at_is_not_called_mended(node: Node) -> None:
    """Damage that was found stands while its segment cannot be read, or the tree is gone."""
    node.change(7)
    found = node.scrub()
    tile = node.audit / "tiles" / STREAM / "tile" / "0" / "000"
    whole = tile.read_bytes()
    tile.unlink()
    lost = {(STREAM, "tile_damaged", each.name, 0) for each in node.segments()}
    assert set(node.scrub()) == {*found, *lost}
    tile.write_bytes(whole)
    assert node.scrub() == found


def test_alarms_are_bounded(node: Node) -> None:
    """A stream that was changed all over raises a hundred, not millions."""
    errors = [RefusedError("record_changed", SEGMENT, line, "changed") for line in range(5 * MOST_FOUND)]
    for _ in range(2):
        node.auditor.alarms.found(STREAM, errors)
        assert len(node.alarms()) == MOST_FOUND
    node.auditor.alarms.passed(STREAM)
    assert len(node.alarms()) == MOST_FOUND


def own_records(state: Path, *types: str) -> list[dict[str, object]]:
    """The records of the auditor's own stream that are of these types."""
    found = extents(state / "audit" / OWN)
    lines = [line for each in found for line in lines_forward(each.path, each.counted_bytes)]
    return [record for record in map(msgspec.json.decode, lines) if record["type"] in types]


def life(state: Path, rounds: int = 1, settings: AuditSettings | None = None) -> AuditorStatus:
    """One life of the whole auditor; what it says at its end."""

    async def live() -> None:
        process = AuditorProcess(state, settings or AuditSettings(compress=False), SystemClock())
        await process.open()
        for _ in range(rounds):
            await process.round()
        await process.close()

    asyncio.run(live())
    status = read_status(state)
    assert status is not None
    return status


def test_alarms_are_recorded_exactly_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the auditor's own stream, over several lives, though its stream took no records the first time."""
    node.stop()
    node.write(5, "other")
    life(node.state)
    node.change(3, stream="other")
    (node.audit / STREAM).rename(node.state / "away")
    record_all = LedgerWriter.record_all
    failed: list[Sequence[Event]] = []

    async def fail_once(writer: LedgerWriter, events: Sequence[Event]) -> None:
        if not failed:
            failed.append(list(events))
            raise AuditUnavailableError("no room")
        await record_all(writer, events)

    monkeypatch.setattr(LedgerWriter, "record_all", fail_once)
    for _ in range(2):
        status = life(node.state, rounds=12)
        assert status.trouble is None
        assert sorted((alarm.stream, alarm.kind) for alarm in status.alarms) == [
            (STREAM, "stream_missing"),
            ("other", "chain_broken"),
            ("other", "record_changed"),
        ]
    assert len(failed) == 1
    told = [(each["type"], each["kind"], each["line"]) for each in own_records(node.state, "audit.refused")]
    damaged = sorted((each["kind"], each["line"]) for each in own_records(node.state, "audit.damaged"))
    assert told == [("audit.refused", "stream_missing", 0)]
    assert damaged == [("chain_broken", 3), ("record_changed", 3)]
    node.restart()


def test_a_roll_up_lists_every_stream(node: Node) -> None:
    """By name, with origin, size and root as they were signed; one for each time that some checkpoint moved."""
    node.stop()
    for name in ("worker-1", "cli", "worker-0"):
        node.write(3, name)
    life(node.state, rounds=3)
    [found] = own_records(node.state, "audit.rollup")
    streams = msgspec.convert(found["streams"], list[dict[str, object]])
    assert [each["stream"] for each in streams] == ["cli", STREAM, "worker-0", "worker-1"]
    assert [each["origin"] for each in streams] == [f"{node.signer.name}/{each['stream']}" for each in streams]
    assert [each["size"] for each in streams] == [5, 624, 5, 5]
    node.restart()
    assert node.signed(OWN) == node.head(len(leaves(node.audit / OWN)), OWN), "its own last record too"


def test_a_second_auditor_is_refused(node: Node) -> None:
    """One for one state directory, whatever each would sign."""
    lock = StreamLock.take(node.state / "auditor")
    with pytest.raises(AuditUnavailableError, match="another process"):
        life(node.state)
    lock.release()
    assert life(node.state).alarms == ()


def test_a_key_that_is_not_this_nodes_is_refused(node: Node, tmp_path: Path) -> None:
    """Another key than those in audit.pub comes by rotation, not by a file; nothing is signed with it."""
    key = tmp_path / "other.key"
    key.touch(0o600)
    key.write_text(Signer.generate(node.signer.name).private_text())
    before = node.signed()
    node.write(5)
    with pytest.raises(ConfigurationError, match=r"its public half is not the first in .*audit\.pub"):
        life(node.state, settings=AuditSettings(signing_key=str(key)))
    assert node.signed() == before
