"""`authz keys pseudonyms` and `authz keys team`: the keys that hide people, and the one that shows them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec

from authz.audit import state_directory
from authz.cli.ledger_options import changing_the_ledger, state_option
from authz.cli.privacy_options import key_option, places, privacy_options
from authz.privacy import KeyInForceError, NoSuchKeyError, destroy_key, new_team_key, rotate_key

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group("pseudonyms")
def pseudonyms() -> None:
    """The keys of the pseudonyms: one in force, older ones for search."""


@pseudonyms.command("list")
@state_option
@key_option
@_JSON
def list_(directory: Path | None, key: Path | None, as_json: bool) -> None:
    """The ids of the keys that are held, the one in force first. Records carry them: h1:<key id>:..."""
    ring = places(directory, key, None).keyring()
    if as_json:
        click.echo(msgspec.json.encode({"current": ring.current.key_id, "old": [each.key_id for each in ring.old]}))
        return
    click.echo(f"{ring.current.key_id}  in force")
    for each in ring.old:
        click.echo(f"{each.key_id}  for search")


@pseudonyms.command("rotate")
@state_option
@key_option
@_JSON
def rotate(directory: Path | None, key: Path | None, as_json: bool) -> None:
    """Put a new key in force at the next start of the service; the old one stays beside it, for search.

    Replicas share the key: copy both files to each before they start. From then on the same person has another
    pseudonym, and a search for the clear id finds both.
    """
    with _told():
        done = rotate_key(state_directory(directory), places(directory, key, None).key)
    if as_json:
        click.echo(msgspec.json.encode({"new": done.new, "old": done.old}))
    else:
        click.echo(f"{done.new} takes the place of {done.old} at the next start of the service")


@pseudonyms.command("destroy")
@click.argument("key_id", metavar="KEYID")
@state_option
@privacy_options
@click.confirmation_option(prompt="Nobody will be found any more in records under this key. Destroy it?")
@_JSON
def destroy(key_id: str, directory: Path | None, key: Path | None, identities: Path | None, as_json: bool) -> None:
    """Destroy an older key: everybody's records of its time lead to nobody from then on.

    It has to go everywhere: from every replica, every backup, and from running services, which read it at their start.
    Exit 1: it is in force or is not there.
    """
    where = places(directory, key, identities)
    with _told():
        gone = destroy_key(state_directory(directory), where.key, key_id, where.table)
    if as_json:
        click.echo(msgspec.json.encode({"destroyed": key_id, "identities": gone}))
    else:
        click.echo(f"{key_id} is destroyed here, with {gone} salts or names; see that it goes elsewhere too")


@click.command("team")
@click.option("--private", required=True, type=_FILE, help="Where the private key goes; keep it away from the service.")
@click.option("--public", required=True, type=_FILE, help="Where the public key goes: audit.security_key.")
@_JSON
def team(private: Path, public: Path, as_json: bool) -> None:
    """Make the security team's key pair (X25519): what the service seals to it only the team can read."""
    with _told():
        key_id = new_team_key(private, public)
    click.echo(msgspec.json.encode({"key_id": key_id}) if as_json else key_id)


@contextmanager
def _told() -> Iterator[None]:
    try:
        with changing_the_ledger():
            yield
    except (KeyInForceError, NoSuchKeyError) as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"could not be done: {error.filename}: {error.strerror}", err=True)
        sys.exit(3)
