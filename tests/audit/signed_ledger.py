"""A small ledger as a node leaves it: two streams in several segments, a roll-up, all of it signed, one witness."""

from pathlib import Path

from authz.audit import LedgerWriter, WriterLimits
from authz.core import Event
from authz.tlog import CosignerSigner, add_signatures, read_checkpoint, split_note, write_base64

from .ledger import SystemClock
from .published import NODE, key_of, publish

NODE_STREAM = "auditor"
WITNESS = CosignerSigner("witness.example/w1", bytes(range(32, 64)))
WITNESSED_AT = 1_764_000_000
PARTS = "streams/main/log"


async def write_stream(audit: Path, stream: str, events: list[Event], segment_bytes: int = 4000) -> None:
    """One life of a writer: these events, in segments of about so many bytes."""
    limits = WriterLimits(segment_bytes=segment_bytes)
    ledger = LedgerWriter(audit, stream, clock=SystemClock(), limits=limits)
    await ledger.open()
    for event in events:
        await ledger.record(event)
    await ledger.close()


def memory_event(number: int, subject: str = "h1:k:s", **fields: object) -> Event:
    """One of the tests' own events."""
    return Event(f"e{number}", "memory.accessed", {"subject": subject, **fields})


async def roll_up(state: Path, streams: list[str]) -> None:
    """Sign what is there of these streams, and state it in the node's own log, which is signed and cosigned."""
    stated = []
    for stream in streams:
        publish(state, stream)
        note = (state / "audit" / "tiles" / stream / "checkpoint").read_bytes()
        head = read_checkpoint(split_note(note)[0])
        root = write_base64(head.root)
        stated.append({"stream": stream, "origin": head.origin, "size": head.size, "root": root})
    await write_stream(state / "audit", NODE_STREAM, [Event("r1", "audit.rollup", {"streams": stated})])
    publish(state, NODE_STREAM)
    cosign(state)


def cosign(state: Path) -> None:
    """The witness has seen the node's checkpoint."""
    path = state / "audit" / "tiles" / NODE_STREAM / "checkpoint"
    head = read_checkpoint(split_note(path.read_bytes())[0])
    path.write_bytes(add_signatures(path.read_bytes(), [WITNESS.cosign(head, WITNESSED_AT)]))


async def signed_ledger(state: Path, events: int = 40, alices: int = 7) -> str:
    """The ledger; every `alices`-th event is of the subject h1:k:alice. Returns the node's public key."""
    for stream, first in (("main", 0), ("other", 1000)):
        made = [
            memory_event(first + n, "h1:k:alice" if n % alices == 3 else "h1:k:s", revision="r1" if n % 2 else "r2")
            for n in range(events)
        ]
        await write_stream(state / "audit", stream, made)
    await roll_up(state, ["main", "other"])
    return str(key_of(state).verifier)


def node_key(state: Path) -> str:
    """The node's public key."""
    return str(key_of(state).verifier)


__all__ = ["NODE", "NODE_STREAM", "WITNESS", "memory_event", "publish", "roll_up", "signed_ledger", "write_stream"]
