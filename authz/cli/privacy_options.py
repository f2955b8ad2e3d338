"""What the commands that know people by their ids share: where the keys of the pseudonyms and the table are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from authz.audit import Pseudonyms, state_directory
from authz.privacy import DEFAULT_KEY, DEFAULT_STORE, Keyring, known_pseudonyms, load_keyring

FILE: Final = click.Path(dir_okay=False, path_type=Path)

key_option = click.option(
    "--pseudonym-key",
    "key",
    type=FILE,
    metavar="FILE",
    help="The key of the pseudonyms, if audit.pseudonym_key names one.",
)
table_option = click.option(
    "--identities", type=FILE, metavar="FILE", help="The table of identities, if audit.identities names one."
)


class Places(NamedTuple):
    """Where the key in force and the table of identities are."""

    key: Path
    table: Path

    def keyring(self) -> Keyring:
        """Raises ConfigurationError."""
        return load_keyring(self.key)

    def pseudonyms(self) -> Pseudonyms | None:
        """Turns a clear id into all its pseudonyms; None where there is no key."""
        if not self.key.exists():
            return None
        keyring = self.keyring()
        return lambda value: known_pseudonyms(keyring, self.table, value)


def places(directory: Path | None, key: Path | None, identities: Path | None) -> Places:
    """As the options say, else in the state directory."""
    state = state_directory(directory)
    return Places(key or state / DEFAULT_KEY, identities or state / DEFAULT_STORE)


def privacy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Both options, as `key` and `identities`."""
    return key_option(table_option(command))
