"""Records of commands: what a person does to the ledger with `authz audit` stands in a stream of its own, `cli`."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from authz.audit.extent import extents, lines_forward
from authz.audit.location import LedgerUnreadableError
from authz.audit.successors import newest_successor, split_number, successors
from authz.audit.writer import LedgerWriter
from authz.core import ConfigurationError, Event

CLI_STREAM: Final = "cli"


class _SystemClock:
    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


def is_of_commands(stream: str) -> bool:
    """Whether a stream holds the records of commands: `cli`, or one that goes on after it."""
    return split_number(stream)[0] == CLI_STREAM


def command_streams(audit: Path) -> list[Path]:
    """The directories of the streams of commands, the one in force last. Raises OSError."""
    names = [CLI_STREAM, *successors(audit, CLI_STREAM)]
    return [audit / name for name in names if (audit / name).is_dir()]


def record_offline(
    audit: Path, events: Sequence[Event], stream: str | None = None, unless: Callable[[], bool] = lambda: False
) -> None:
    """Make events durable in the stream of commands in force, or in another. Not from within an event loop.

    `unless`: asked when the stream is open, so that all that counts of it is settled; True: record nothing.
    Raises AuditUnavailableError when they cannot be, or another command is writing there; ConfigurationError when
    the ledger belongs to another user, who could then not read what this one writes.
    """
    check_owner(audit)
    if stream is None:
        stream = newest_successor(audit, CLI_STREAM)
    asyncio.run(_record(audit, events, stream, unless))


def check_owner(audit: Path) -> None:
    """Raises ConfigurationError when this ledger belongs to another user than the one who runs this."""
    owner = audit.stat().st_uid
    if owner != os.geteuid():
        raise ConfigurationError(f"{audit} belongs to the user with id {owner}: run this as that user")


async def _record(audit: Path, events: Sequence[Event], stream: str, unless: Callable[[], bool]) -> None:
    writer = LedgerWriter(audit, stream, clock=_SystemClock())
    await writer.open()
    try:
        if not unless():
            await writer.record_all(events)
    finally:
        await writer.close("done")


def offline_records(audit: Path, types: str) -> Iterator[bytes]:
    """The records of commands whose type begins so, oldest first, as raw lines; nothing of them is verified.

    Raises LedgerUnreadableError.
    """
    needle = b'"type":"%b' % types.encode()
    try:
        for extent in (extent for directory in command_streams(audit) for extent in extents(directory)):
            for line in lines_forward(extent.path, extent.counted_bytes):
                if needle in line and line.endswith(b"\n"):
                    yield line[:-1]
    except OSError as error:
        raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None
