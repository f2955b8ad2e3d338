"""`authz slo`: how the objectives stand, a gate for pipelines, and the rules for Prometheus."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from authz import slos
from authz.audit import duration
from authz.cli.bearer import bearer
from authz.core import BadRequestError

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_OPTIONS = (
    click.option(
        "--url",
        "urls",
        multiple=True,
        help="Admin listener of a sidecar (repeatable: replicas are added up), or a Prometheus server.",
    ),
    click.option(
        "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
    ),
    click.option("--for", "how_long", metavar="DURATION", help="Sidecars: watch for so long; else since their start."),
    click.option("--window", metavar="DURATION", help="Prometheus: look back so far, such as 1h; else 30d."),
    click.option("--min-events", default=slos.MIN_EVENTS, show_default=True, help="Fewer events say nothing."),
    _JSON,
)


@click.group()
def slo() -> None:
    """Service level objectives: how they stand, whether they hold, and the rules that watch them."""


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@slo.command("report")
@_source_options
def report(as_json: bool, min_events: int, **options: Any) -> None:
    """How each objective stands: measured, error budget left, burn rate. Exit 3: could not find out."""
    with _could_not_find_out():
        _show(slos.judge_all(_source(**options), min_events=min_events), as_json=as_json)


@slo.command("check")
@_source_options
@click.option("--generate", is_flag=True, help="Start a sidecar, drive mixed traffic through it, and judge that.")
@click.option("--requests", default=slos.REQUESTS, show_default=True, help="How many requests --generate makes.")
def check(as_json: bool, generate: bool, requests: int, min_events: int, **options: Any) -> None:
    """Do the objectives hold? Exit 0: all of them, 1: one is violated, 3: not enough data, or could not find out."""
    if generate == bool(options["urls"]):
        raise click.UsageError("state either --url or --generate")
    with _could_not_find_out():
        if generate:
            judgement = slos.run(slos.objectives(), requests, min_events=min_events)
        else:
            judgement = slos.judge_all(_source(**options), min_events=min_events)
    _show(judgement, as_json=as_json)
    sys.exit({True: 0, False: 1, None: 3}[judgement.overall_pass])


@slo.command("rules")
@click.option("-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else stdout.")
@click.option("--runbooks", default=slos.RUNBOOKS, show_default=True, help="URL of a runbook, {alert} for its name.")
@click.option("--factor", default=1.0, type=click.FloatRange(min=1), help="Divide all windows by this: for trying out.")
def rules(file: Path | None, runbooks: str, factor: float) -> None:
    """Prometheus rules: recordings and burn-rate alerts of the objectives (Sloth's names), and the other alerts."""
    text = slos.rules(runbooks=runbooks, factor=factor)
    if file is None:
        click.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")


def _source(urls: tuple[str, ...], token_file: Path | None, how_long: str | None, window: str | None) -> Any:
    token = bearer(token_file)
    try:
        seconds = duration("--for", how_long) if how_long else 0.0
    except BadRequestError as error:
        raise click.UsageError(str(error)) from None
    return slos.open_source(urls or ("http://127.0.0.1:8081",), token=token, seconds=seconds, window=window)


def _show(judgement: slos.Judgement, *, as_json: bool) -> None:
    click.echo(msgspec.json.encode(slos.as_dict(judgement)) if as_json else slos.as_table(judgement))


@contextmanager
def _could_not_find_out() -> Iterator[None]:
    try:
        yield
    except slos.SloSourceError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
