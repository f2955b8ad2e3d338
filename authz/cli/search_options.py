"""What the commands that search share: which ledgers are asked, and how it is said that one could not be."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click

from authz.cli.bearer import bearer
from authz.cli.ledger_options import DIRECTORY, could_not_find_out, filter_options, state_option
from authz.cli.privacy_options import FILE, Places, places, privacy_options
from authz.cli.table import printable
from authz.replicas import Asked, Fleet, LocalLedger, RemoteLedger, Source


class Search(NamedTuple):
    """A search as the options say it. A context manager: its end says what could not be asked, and exits 1 or 3."""

    fleet: Fleet
    asked: Asked
    places: Places
    remote: bool
    several: bool
    ended: ExitStack

    def __enter__(self) -> "Search":
        self.ended.enter_context(could_not_find_out())
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool | None:
        handled = self.ended.__exit__(kind, error, traceback)
        if kind is None:
            self._tell()
        return handled

    def shown(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event, with its instance only where replicas were asked."""
        return event if self.remote else {name: value for name, value in event.items() if name != "instance"}

    def _tell(self) -> None:
        for sentence in self.fleet.refused:
            click.echo(f"refused: {printable(sentence)}", err=True)
        for missing in self.fleet.missing:
            click.echo(f"could not find out: {missing.instance}: {printable(missing.why)}", err=True)
        if self.fleet.missing:
            sys.exit(3)
        if self.fleet.refused:
            click.echo("Rows of the index are not what lies in the ledger; --from-segments does without it.", err=True)
            sys.exit(1)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them as one Search, `search`."""

    def with_search(
        where: Path | None,
        directory: Path | None,
        key: Path | None,
        identities: Path | None,
        urls: tuple[str, ...],
        token_file: Path | None,
        from_segments: bool,
        **rest: Any,
    ) -> None:
        if sum((where is not None, directory is not None, bool(urls))) > 1:
            raise click.UsageError("state one of DIRECTORY, --state and --url")
        found = places(where or directory, key, identities)
        filters = {name: rest.pop(name) for name in _NAMES}
        with could_not_find_out():
            asked = Asked.of(filters, rest.pop("params"), from_segments=from_segments)
        fleet = Fleet(_sources(urls, token_file, where or directory, found))
        command(search=Search(fleet, asked, found, bool(urls), len(urls) > 1, ExitStack()), **rest)

    with_search.__name__, with_search.__doc__ = command.__name__, command.__doc__
    with_search.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        option(with_search)
    return with_search


_NAMES = (
    "type", "decision", "reason", "subject", "scope", "role", "route", "method", "request_id", "session_id", "ip",
    "id", "since", "until",
)  # fmt: skip

_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.argument("where", required=False, type=DIRECTORY, metavar="[DIRECTORY]"),
    state_option,
    click.option("--url", "urls", multiple=True, help="Admin listener of a replica instead; may be given again."),
    click.option("--token-file", type=FILE, help="File with the bearer token to show to them."),
    click.option("--from-segments", is_flag=True, help="Read the segments themselves and trust no index."),
    filter_options,
    privacy_options,
)


def _sources(urls: tuple[str, ...], token_file: Path | None, directory: Path | None, found: Places) -> list[Source]:
    if not urls:
        return [LocalLedger(directory, found.pseudonyms())]
    token = bearer(token_file)
    return [RemoteLedger(url, token) for url in dict.fromkeys(urls)]


def colour() -> bool | None:
    """For `click.echo`: none where NO_COLOR is set (https://no-color.org), else only to a terminal."""
    return False if os.environ.get("NO_COLOR") else None
