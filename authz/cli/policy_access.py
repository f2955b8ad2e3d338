"""`authz policy matrix` and `authz policy diff`."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.bundle import OpaMissingError
from authz.cli.bearer import bearer
from authz.client import AdminRefusedError
from authz.core import AuthzError
from authz.policy import (
    BuildError,
    Change,
    Narrowed,
    Opened,
    as_csv,
    as_text,
    cells,
    difference_of,
    difference_page,
    matrix_of,
    matrix_page,
    opened,
    read_approved,
    unapproved,
)

_TOKEN = click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Bearer token for an admin listener."
)
_FORMATS = click.Choice(["text", "json", "csv", "html"])


@click.command()
@click.argument("source")
@click.option("--role", "roles", multiple=True, help="Only this role; repeatable.")
@click.option("--scope", "scopes", multiple=True, help="Only this scope, and a token with it; repeatable.")
@click.option("--route", "routes", multiple=True, help="Only this path template; repeatable.")
@click.option("--format", "form", type=_FORMATS, default="text", help="html: one page that needs nothing else.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.")
@_TOKEN
def matrix(
    source: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    routes: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    token_file: Path | None,
) -> None:
    """Who may do what under the policy SOURCE: a bundle, a directory, git:REF[:DIRECTORY], or an admin listener."""
    found = asyncio.run(matrix_of(_open(source, token_file)))
    part = Narrowed(frozenset(roles), frozenset(scopes), frozenset(routes))
    written: dict[str, Callable[[], str]] = {
        "text": lambda: as_text(found.asked, found.table, part),
        "json": lambda: _json(list(cells(found.asked, found.table, part))),
        "csv": lambda: as_csv(cells(found.asked, found.table, part)),
        "html": lambda: matrix_page(found, source),
    }
    _put(written["json" if as_json else form](), output)
    _could_decide(found.table.undecided)


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--fail-on", type=click.Choice(["gain", "loss", "any"]), help="Exit 1 if there is such a change.")
@click.option(
    "--approved", type=click.Path(path_type=Path), help="Changes already accepted: a file as --keys writes it."
)
@click.option("--keys", is_flag=True, help="Print each change as a line for --approved.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write one page that needs nothing else.")
@_TOKEN
def diff(
    old: str,
    new: str,
    fail_on: str | None,
    approved: Path | None,
    keys: bool,
    as_json: bool,
    html: Path | None,
    token_file: Path | None,
) -> None:
    """Who gains and who loses what from OLD to NEW.

    Each is a bundle, a directory, git:REF[:DIRECTORY], or the URL of an admin listener, for what is in force there.
    """
    accepted = read_approved(approved) if approved is not None else frozenset()
    compared = asyncio.run(difference_of(_open(old, token_file), _open(new, token_file)))
    difference = compared.difference
    if html is not None:
        _put(difference_page(compared, old, new), html)
    if as_json:
        click.echo(_json({"old": difference.old, "new": difference.new, "changes": [*map(_row, difference.changes)]}))
    elif keys:
        click.echo("\n".join(change.key for change in difference.changes))
    else:
        click.echo(str(difference))
    _could_decide(compared.old.undecided + compared.new.undecided)
    left = [change for change in unapproved(difference.changes, accepted) if fail_on in (change.kind, "any")]
    if left:
        click.echo(f"{len(left)} not approved: " + "; ".join(change.key for change in left), err=True)
        sys.exit(1)


def _row(change: Change) -> dict[str, Any]:
    return {**msgspec.to_builtins(change), "key": change.key, "text": str(change)}


def _open(source: str, token_file: Path | None) -> Opened:
    token = bearer(token_file)
    try:
        return opened(source, token=token)
    except BuildError as error:
        click.echo(str(error), err=True)
    except OpaMissingError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
    except AdminRefusedError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    except AuthzError as error:
        raise click.UsageError(str(error)) from None
    sys.exit(2)


def _could_decide(undecided: int) -> None:
    if undecided:
        click.echo(f"{undecided} questions could not be answered by the policy and count as denied", err=True)
        sys.exit(3)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _put(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text.rstrip())
    else:
        output.write_text(text, encoding="utf-8")
