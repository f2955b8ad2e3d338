"""`authz config`."""

from pathlib import Path

import click

from authz.config import load, reference, starter
from authz.identity import check_issuers


@click.group()
def config() -> None:
    """Write, check and explain the configuration."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("authz.toml"))
def init(file: Path) -> None:
    """Write a configuration to start from, with every setting that has to be stated."""
    if file.exists():
        raise click.UsageError(f"{file} exists; choose another name or remove it")
    file.write_text(starter(), encoding="utf-8")
    click.echo(f"Wrote {file}. Edit it, then: authz config check {file}")


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Say whether `authz serve --config FILE` would take these settings; exit 2 if not.

    The files and servers that they name are not looked at: that is done at the start.
    """
    settings = load(file)
    check_issuers(settings.issuers)
    click.echo(f"{file}: {len(settings.issuers)} issuer(s), {len(settings.callers)} caller(s), state {settings.state}")


@config.command("reference")
def show_reference() -> None:
    """Print every setting with its default and meaning, as Markdown."""
    click.echo(reference())
