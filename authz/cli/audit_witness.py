"""`authz audit witness`: cosign the checkpoints of others."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import click
import msgspec
import uvloop

from authz import http, log
from authz.witness import CannotCosignError, Witness, open_state, read_log_keys


@click.command("witness")
@click.option("--listen", "address", required=True, help="HOST:PORT or unix:PATH; port 0 takes a free one.")
@click.option(
    "--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory of its key and memory."
)
@click.option(
    "--log", "logs", required=True, multiple=True, metavar="VKEY|FILE", help="Key of a log, or a file of them."
)
@click.option("--name", help="Name of its key when that is made; by default the machine's, and /witness.")
@click.option("--clock-was-wrong", is_flag=True, help="Cosign though the clock is behind an earlier cosignature.")
def witness(address: str, state: Path, logs: tuple[str, ...], name: str | None, clock_was_wrong: bool) -> None:
    """Serve a witness until SIGTERM or SIGINT: it cosigns checkpoints of logs that only grow.

    The first line on stdout says, as JSON, where it listens and by which key it signs. Run it where those who run the
    logs have no access: that is all that it is good for. Exit 1: its memory cannot be read now; 2: what is stated
    cannot be used, or key and memory do not belong together.
    """
    log.configure()
    keys = read_log_keys(logs)
    try:
        signer, store = open_state(state, name)
    except CannotCosignError as error:
        raise click.ClickException(str(error)) from None
    uvloop.run(_serve(address, Witness(keys, signer, store, time.time, clock_was_wrong=clock_was_wrong), signer.vkey))


async def _serve(address: str, judge: Witness, vkey: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await http.serve_witness(judge, address)
    try:
        sys.stdout.write(msgspec.json.encode({"listening": {"witness": running.url}, "vkey": vkey}).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await running.close()
