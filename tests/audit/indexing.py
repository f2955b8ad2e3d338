"""A ledger with its index: written, indexed up to where a test wants it, and looked into."""

import sqlite3
from pathlib import Path
from typing import Any

from authz.audit import LedgerWriter, WriterLimits
from authz.audit.filters import read_filter
from authz.audit.index import IndexWriter
from authz.audit.index.schema import index_path
from authz.audit.query import Page, search
from authz.audit.trail import Trail
from authz.core import Event

from .ledger import STREAM, StoppedClock


async def record(state: Path, events: list[Event], stream: str = STREAM, clock: StoppedClock | None = None) -> None:
    """One life of a writer, a record a second, in small segments."""
    clock = clock or StoppedClock()
    limits = WriterLimits(segment_bytes=6000)
    ledger = LedgerWriter(state / "audit", stream, clock=clock, limits=limits)
    await ledger.open()
    for event in events:
        clock.time += 1
        await ledger.record(event)
    await ledger.close()


def index(state: Path) -> None:
    """Bring the index up to date."""
    Trail(state / "audit", [IndexWriter(state)], StoppedClock()).catch_up()


def ask(state: Path, limit: int = 1000, after: str | None = None, from_segments: bool = False, **asked: Any) -> Page:
    """One page."""
    params, pseudonyms = asked.pop("params", None), asked.pop("pseudonyms", None)
    wanted = read_filter(asked, params, pseudonyms)
    return search(wanted, limit, after, path=state, from_segments=from_segments)


def numbers(page: Page) -> list[int]:
    """Which decisions of `decisions` are on the page."""
    return [int(event["id"][1:]) for event in page.events if event["type"].startswith("auth.")]


def doctor(state: Path, statement: str, *values: object) -> None:
    """Change the index behind everybody's back."""
    with sqlite3.connect(index_path(state)) as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()
