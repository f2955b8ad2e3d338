"""A small ledger as a node leaves it: two streams of 44 records in two segments, a roll-up, all signed, one witness."""

import asyncio
from pathlib import Path

from authz.audit import LedgerWriter
from authz.core import Event
from authz.tlog import CosignerSigner, add_signatures, read_checkpoint, split_note, write_base64

from .ledger import SystemClock
from .published import key_of, publish

NODE_STREAM = "auditor"
WITNESS = CosignerSigner("witness.example/w1", bytes(range(32, 64)))
WITNESSED_AT = 1_764_000_000


def append(audit: Path, stream: str, events: list[Event]) -> None:
    """One life of a writer: these events in one segment, between its two records about itself."""

    async def life() -> None:
        ledger = LedgerWriter(audit, stream, clock=SystemClock())
        await ledger.open()
        for event in events:
            await ledger.record(event)
        await ledger.close()

    asyncio.run(life())


def append_all(audit: Path, stream: str, events: list[Event]) -> None:
    """The same, a thousand events in each call."""

    async def life() -> None:
        ledger = LedgerWriter(audit, stream, clock=SystemClock())
        await ledger.open()
        for start in range(0, len(events), 1000):
            await ledger.record_all(events[start : start + 1000])
        await ledger.close()

    asyncio.run(life())


def accessed(number: int, subject: str = "h1:k:s", **fields: object) -> Event:
    """One of the tests' own events."""
    return Event(f"e{number}", "memory.accessed", {"subject": subject, **fields})


def roll_up(state: Path, streams: list[str], own: str = NODE_STREAM) -> None:
    """State in the node's own log how far these streams are signed, sign that too, and have the witness see it."""
    invent_roll_up(state, streams, own)
    publish(state, own)
    path = state / "audit" / "tiles" / own / "checkpoint"
    seen = read_checkpoint(split_note(path.read_bytes())[0])
    path.write_bytes(add_signatures(path.read_bytes(), [WITNESS.cosign(seen, WITNESSED_AT)]))


def invent_roll_up(state: Path, streams: list[str], own: str = NODE_STREAM, **changed: object) -> None:
    """A roll-up that nobody signs, of what the checkpoints of these streams say, unless it is `changed`."""
    stated = []
    for stream in streams:
        head = read_checkpoint(split_note((state / "audit" / "tiles" / stream / "checkpoint").read_bytes())[0])
        said = {"stream": stream, "origin": head.origin, "size": head.size, "root": write_base64(head.root)}
        stated.append({**said, **changed})
    append(state / "audit", own, [Event("r1", "audit.rollup", {"streams": stated})])


def make_ledger(state: Path, events: int = 40, **fields: object) -> Path:
    """The ledger; every seventh event is of the subject h1:k:alice. Returns `state`."""
    state.mkdir(exist_ok=True)
    for stream, first in (("main", 0), ("other", 1000)):
        subjects = ["h1:k:alice" if number % 7 == 3 else "h1:k:s" for number in range(events)]
        made = [accessed(first + number, subject, **fields) for number, subject in enumerate(subjects)]
        append(state / "audit", stream, made[: events // 2])
        append(state / "audit", stream, made[events // 2 :])
        publish(state, stream)
    roll_up(state, ["main", "other"])
    return state


def node_key(state: Path) -> str:
    """The node's public key."""
    return str(key_of(state).verifier)
