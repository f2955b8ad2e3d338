"""What the commands that read the ledger share: the options of a search, and how failures are said."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from authz.audit import LedgerDamagedError, LedgerUnreadableError, UpkeepBusyError
from authz.core import AuditUnavailableError, BadRequestError

DIRECTORY: Final = click.Path(path_type=Path)

state_option = click.option(
    "--state", "directory", type=DIRECTORY, help="State directory; by default AUTHZ_STATE, else .state."
)


def _parameters(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for name, equals, _value in pairs:
        if not name or not equals:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _equals, value in pairs}


_FILTERS: Final = (
    click.option("--type", "type", help="Type of event, or a decision's operation."),
    click.option("--decision", type=click.Choice(["allow", "deny", "error"]), help="What was decided."),
    click.option("--reason", help="Reason of a decision."),
    click.option("--subject", help="A subject: its pseudonym, h1:..., or its clear id where the key is at hand."),
    click.option("--scope", help="A scope that was needed, granted or missing."),
    click.option("--role", help="A role the subject had."),
    click.option("--route", help="Route template, such as /users/{id}/profile."),
    click.option("--method", help="HTTP method."),
    click.option(
        "--param", "params", multiple=True, callback=_parameters, metavar="NAME=VALUE", help="Route parameter."
    ),
    click.option("--request-id", help="The gateway's request id."),
    click.option("--session-id", "--session", "session_id", help="Session id."),
    click.option("--ip", help="Address of the client."),
    click.option("--id", "id", help="The event's id; of a decision, the one its caller got."),
    click.option("--since", help="Not before: 2026-11-23T08:00:00Z, 2026-11-23, or 90s, 15m, 2h, 7d, 4w ago."),
    click.option("--until", help="Before; like --since."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose events: each name is that of a filter of `get_audit_events`."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@contextmanager
def could_not_find_out() -> Iterator[None]:
    """Exit 3 where there is no ledger to read, 2 for a question put wrongly."""
    try:
        yield
    except LedgerUnreadableError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    except BadRequestError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def changing_the_ledger() -> Iterator[None]:
    """As `could_not_find_out`, for commands that write: exit 1 for a damaged ledger, 3 for what cannot be done now."""
    try:
        with could_not_find_out():
            yield
    except LedgerDamagedError as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(1)
    except (AuditUnavailableError, UpkeepBusyError) as error:
        click.echo(f"could not be done: {error}", err=True)
        sys.exit(3)


@contextmanager
def progress_bar(label: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr when that is a terminal, else nothing."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=size_bytes, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield bar.update
