"""`authz audit hold`: keep parts of the ledger from being pruned."""

from pathlib import Path

import click
import msgspec

from authz.audit import Hold, add_hold, audit_directory, holds, lift_hold
from authz.cli.ledger_options import changing_the_ledger, state_option

_REASON = click.option("--reason", required=True, help="Why; it is part of the record.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("hold")
def hold() -> None:
    """Keep parts of the ledger from being pruned, whatever their age (legal hold)."""


@hold.command("add")
@state_option
@click.option("--stream", help="Only this stream; by default all.")
@click.option("--since", help="Not before: 2026-11-23T08:00:00Z, 2026-11-23, or 7d, 4w ago.")
@click.option("--until", help="Before; like --since.")
@_REASON
@_JSON
def add(
    directory: Path | None, stream: str | None, since: str | None, until: str | None, reason: str, as_json: bool
) -> None:
    """From now on nothing is pruned of what was recorded in this time, nor what comes after it in its stream.

    It is a record of the ledger. A prune that is running is waited for.
    """
    with changing_the_ledger():
        added = add_hold(audit_directory(directory), reason, stream, since, until)
    _tell([added], as_json=as_json)


@hold.command("lift")
@click.argument("hold_id", metavar="HOLD")
@state_option
@_REASON
@_JSON
def lift(hold_id: str, directory: Path | None, reason: str, as_json: bool) -> None:
    """End the hold that `authz audit hold list` names so."""
    with changing_the_ledger():
        lifted = lift_hold(audit_directory(directory), hold_id, reason)
    if as_json:
        click.echo(msgspec.json.encode(lifted))
    else:
        click.echo(f"lifted: {_sentence(lifted)}")


@hold.command("list")
@state_option
@_JSON
def list_(directory: Path | None, as_json: bool) -> None:
    """The holds in force."""
    with changing_the_ledger():
        found = holds(audit_directory(directory))
    if as_json or found:
        _tell(found, as_json=as_json)
    else:
        click.echo("no hold is in force")


def _tell(found: tuple[Hold, ...] | list[Hold], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found:
        click.echo(_sentence(each))


def _sentence(each: Hold) -> str:
    what = each.stream or "every stream"
    return f"{each.hold}  {what}, from {each.since or 'the beginning'} until {each.until or 'for ever'}: {each.reason}"
