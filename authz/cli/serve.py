"""`authz serve`."""

import asyncio
import gc
import signal
import sys
from pathlib import Path

import click
import msgspec
import uvloop

from authz import http
from authz.cli import collector
from authz.config import Settings, load
from authz.pdp import Pdp


@click.command()
@click.option("--config", "file", type=click.Path(dir_okay=False, path_type=Path), help="TOML configuration.")
@click.option("--dev", is_flag=True, default=None, help="Development mode: loopback only, keys made in the state.")
@click.option("--listen", help="Decision listener: HOST:PORT or unix:PATH; port 0 takes a free one.")
@click.option("--admin-listen", help="Admin listener: HOST:PORT or unix:PATH.")
@click.option("--policy", "bundle", help="Bundle file to decide by; `default` is the shipped one.")
@click.option("--engine", help="Where the policy is evaluated: embedded, or opa.")
@click.option("--opa-url", help="OPA server of --engine opa; without it a local `opa` is started.")
@click.option("--state", help="Directory of the ledger, keys and caches.")
@click.option("--workers", type=int, help="Processes; more than one is not built yet.")
def serve(
    file: Path | None,
    dev: bool | None,
    listen: str | None,
    admin_listen: str | None,
    bundle: str | None,
    engine: str | None,
    opa_url: str | None,
    state: str | None,
    workers: int | None,
) -> None:
    """Serve decisions until SIGTERM or SIGINT.

    The first line on stdout says, as JSON, where the listeners are.
    """
    flags = {
        "dev": dev,
        "listen": listen,
        "admin_listen": admin_listen,
        "policy.source": bundle,
        "engine": engine,
        "opa.url": opa_url,
        "state": state,
        "workers": workers,
    }
    settings = load(file, flags=flags)
    collector.calm()
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    received: list[str] = []

    def stopped(name: str) -> None:
        received.append(name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped, number.name)
    pdp = await Pdp.start(settings)
    try:
        listeners = await http.serve(pdp)
        try:
            # What is here now stays until the end: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            _announce(settings, listeners)
            await stop.wait()
        finally:
            await listeners.close()
    finally:
        await pdp.close(received[0] if received else "failed")


def _announce(settings: Settings, listeners: http.Listeners) -> None:
    places = {"decision": listeners.decision, "admin": listeners.admin}
    if listeners.envoy_grpc is not None:
        places["envoy_grpc"] = listeners.envoy_grpc
    sys.stdout.write(msgspec.json.encode({"listening": places}).decode() + "\n")
    sys.stdout.flush()
    if settings.dev:
        click.echo(http.sample_requests(listeners.decision), err=True)
