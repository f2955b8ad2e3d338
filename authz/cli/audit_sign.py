"""`authz audit sign`: the auditor as a process of its own."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from authz import config, log
from authz.audit import AuditorProcess, SigningUnsafeError
from authz.cli import collector
from authz.clock import SystemClock
from authz.config import AuditSettings
from authz.core import AuditUnavailableError

_NICENESS = 5


@click.command("sign")
@click.option("--state", "directory", type=click.Path(file_okay=False, path_type=Path), help="State directory.")
@click.option("--config", "file", type=click.Path(dir_okay=False, path_type=Path), help="TOML configuration.")
@click.option("--once", is_flag=True, help="Sign what is there now, and end.")
@click.option("--supervised", is_flag=True, hidden=True, help="Settings come from standard input; its end is ours.")
def sign(directory: Path | None, file: Path | None, once: bool, supervised: bool) -> None:
    """Read the ledger back from disk, check it, and sign how far it goes, until SIGTERM or SIGINT.

    `serve` runs this as a child of its own unless audit.auditor is "external". One auditor for one state directory.
    Exit 1: another one runs, or what was signed before cannot be known.
    """
    log.configure()
    settings = config.read(file)
    state = directory or Path(settings.state or ".state")
    audit = _given() if supervised else settings.audit
    with suppress(OSError):
        os.nice(_NICENESS)  # decisions come first
    collector.calm()
    try:
        asyncio.run(_sign(AuditorProcess(state, audit, SystemClock()), once=once, supervised=supervised))
    except (AuditUnavailableError, SigningUnsafeError) as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(1)
    finally:
        log.close()


def _given() -> AuditSettings:
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=AuditSettings)


async def _sign(auditor: AuditorProcess, *, once: bool, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Supervised, the end comes with that of the sidecar, whose last records are to be signed: a signal to the
        # whole group must not be faster.
        loop.add_signal_handler(number, (lambda: None) if supervised else auditor.stop)
    await auditor.open()
    watching = asyncio.create_task(_until_closed(auditor)) if supervised else None
    try:
        if once:
            await auditor.catch_up()
        else:
            await auditor.run()
        await auditor.close()
    finally:
        if watching is not None:
            watching.cancel()


async def _until_closed(auditor: AuditorProcess) -> None:
    """Stop when standard input ends: the sidecar is done, or dead."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    auditor.stop()
