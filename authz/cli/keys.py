"""`authz keys`: the key that the node signs its ledger with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec

from authz import identity
from authz.audit import (
    KeyExistsError,
    NodeKey,
    SigningUnsafeError,
    new_node_key,
    node_keys,
    public_keys,
    rotate_key,
    state_directory,
)
from authz.cli.commands import Commands
from authz.cli.ledger_options import changing_the_ledger, state_option

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_KEY = click.option("--key", "stated", metavar="FILE", help="The key file, if audit.signing_key names one.")


_PLACES: Final = {
    "pseudonyms": "authz.cli.keys_privacy",
    "team": "authz.cli.keys_privacy",
}


@click.group(cls=Commands, places=_PLACES)
def keys() -> None:
    """The node's keys: which sign its ledger, and how others get to know them."""


@keys.command("list")
@state_option
@_JSON
def list_(directory: Path | None, as_json: bool) -> None:
    """The node's public keys, newest first, and since when; the id of the key of the pseudonyms too. Exit 3: none."""
    state = state_directory(directory)
    with _told():
        found = node_keys(state)
    pseudonyms = _pseudonym_key_id(state / "keys" / "pseudonym.key")
    if as_json:
        click.echo(msgspec.json.encode({"keys": found, "pseudonym_key_id": pseudonyms}))
        return
    for each in found:
        click.echo(f"{each.key_id}  {each.name}  {_times(each)}")
    if pseudonyms is not None:
        click.echo(f"{pseudonyms}  key of the pseudonyms")


@keys.command("new")
@click.option("--origin", required=True, metavar="NAME", help="The node's name for ever, such as ledger.example/node7.")
@state_option
@_JSON
def new(directory: Path | None, origin: str, as_json: bool) -> None:
    """Make the node's key. Without it `serve` makes one at its first start, of a name it thinks up.

    The name stands in every checkpoint; a change of keys keeps it. Exit 1: there is a key already.
    """
    with _told():
        made = new_node_key(state_directory(directory), origin)
    click.echo(msgspec.json.encode({"vkey": str(made)}) if as_json else str(made))


@keys.command("rotate")
@state_option
@_KEY
@_JSON
def rotate(directory: Path | None, stated: str | None, as_json: bool) -> None:
    """Have a new key of the same name take the place of the node's, recorded and signed by both.

    The auditor must not run meanwhile: stop it, or the service that runs it. Cut short, it is to be run again; until
    then nothing is signed. Whoever knows the old key can check what the new one signs. Exit 1: it cannot be known what
    was signed last, 3: not now.
    """
    with _told():
        done = rotate_key(state_directory(directory), stated)
    if as_json:
        click.echo(msgspec.json.encode({"old": str(done.old), "new": str(done.new), "resumed": done.resumed}))
        return
    begun = "finished what was begun: " if done.resumed else ""
    click.echo(f"{begun}{done.new.key_id.hex()} takes the place of {done.old.key_id.hex()}")
    click.echo(str(done.new))
    click.echo("Tell those who run witnesses: they cosign what it signs once they know it.", err=True)


@keys.command("export")
@state_option
@_JSON
def export(directory: Path | None, as_json: bool) -> None:
    """Print the node's public keys, newest first, one on each line: for auditors and witnesses. Exit 3: none."""
    with _told():
        found = [str(key) for key in public_keys(state_directory(directory) / "audit")]
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(found))


@contextmanager
def _told() -> Iterator[None]:
    try:
        with changing_the_ledger():
            yield
    except (KeyExistsError, SigningUnsafeError) as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"could not be done: {error.filename}: {error.strerror}", err=True)
        sys.exit(3)


def _pseudonym_key_id(path: Path) -> str | None:
    """None where the key is kept elsewhere."""
    return identity.Pseudonymiser(identity.load_key(path)).key_id if path.exists() else None


def _times(key: NodeKey) -> str:
    since = f"since {key.since}" if key.since else "the first key"
    return f"{since}, in force" if key.in_force else f"{since}, replaced {key.replaced or 'at a time not recorded'}"
