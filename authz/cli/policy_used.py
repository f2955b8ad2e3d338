"""`authz policy unused`, `holders` and `unmatched`: what the decisions in a ledger say about a policy."""

from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import moment, stream_summaries
from authz.cli.ledger_options import progress_bar, state_option
from authz.cli.policy_replay import finding_out
from authz.policy import (
    Fold,
    RoleUse,
    SubjectUse,
    bundle_of,
    held_by,
    holders,
    missing_routes,
    read_verified,
    unused,
    write_gauges,
)

_POLICY = click.option("--policy", "source", required=True, help="A bundle, a directory, or git:REF[:DIRECTORY].")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("unused")
@state_option
@_POLICY
@click.option("--since", default="90d", show_default=True, help="Decisions not before that.")
@click.option(
    "--prometheus",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the numbers, with those of holders and unmatched, for the text file collector.",
)
@_JSON
def unused_command(directory: Path | None, source: str, since: str, prometheus: Path | None, as_json: bool) -> None:
    """Roles and scopes of --policy that nobody used, smaller roles, and who holds far more than they use.

    Exit 1: the ledger is not intact. Exit 3: could not find out.
    """
    with finding_out():
        held = held_by(bundle_of(source).data_json)
        fold = _folded(directory, since)
        found = unused(fold.tallies, held)
        if prometheus is not None:
            write_gauges(prometheus, fold, held, moment("since", since))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for role in found.roles:
        _tell_role(role)
    for subject in found.far_more:
        _tell_subject(subject)


@click.command("holders")
@state_option
@_POLICY
@click.option("--scope", required=True, help="The scope.")
@click.option("--since", default="90d", show_default=True, help="Decisions not before that.")
@_JSON
def holders_command(directory: Path | None, source: str, scope: str, since: str, as_json: bool) -> None:
    """Who was seen holding a scope, by pseudonym, through what, and whether they used it.

    Exit 1: the ledger is not intact. Exit 3: could not find out.
    """
    with finding_out():
        found = holders(_folded(directory, since).tallies, held_by(bundle_of(source).data_json), scope)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for holder in found:
        click.echo(f"{holder.subject} through {', '.join(holder.through)}{'' if holder.used else ', not used'}")
    click.echo(f"{len(found)} subjects were seen holding {scope}, {sum(each.used for each in found)} used it")


@click.command("unmatched")
@state_option
@click.option("--since", default="7d", show_default=True, help="Decisions not before that.")
@_JSON
def unmatched_command(directory: Path | None, since: str, as_json: bool) -> None:
    """What was asked for and no route has, most often first, with a route to paste.

    Exit 1: the ledger is not intact. Exit 3: could not find out.
    """
    with finding_out():
        found = missing_routes(_folded(directory, since).tallies)
    if as_json:
        click.echo(msgspec.json.encode([{**_plain(row), "yaml": row.yaml()} for row in found]))
        return
    for row in found:
        seen = f"{row.decisions} decisions of {row.subjects} subjects, {row.first[:19]}Z to {row.last[:19]}Z"
        click.echo(f"# {row.reason}: {seen}\n{row.yaml()}")


def _folded(directory: Path | None, since: str) -> Fold:
    fold = Fold(moment("since", since))
    size = sum(summary.size_bytes for summary in stream_summaries(directory))
    with progress_bar("Reading", size) as progress:
        read_verified(fold, directory, progress)
    return fold


def _plain(row: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain


def _tell_role(role: RoleUse) -> None:
    if not role.subjects:
        click.echo(f"{role.role}: nobody was seen with it")
    elif not role.unused:
        click.echo(f"{role.role}: {role.subjects} subjects, all of it used")
    elif not role.used:
        click.echo(f"{role.role}: {role.subjects} subjects, nothing of it used")
    else:
        click.echo(f"{role.role}: {role.subjects} subjects, never used: {', '.join(role.unused)}. Enough would be:")
        click.echo(role.yaml())


def _tell_subject(row: SubjectUse) -> None:
    used = f"used {', '.join(row.used)}" if row.used else "used none"
    click.echo(f"{row.subject} ({', '.join(row.roles)}) holds {row.held} scopes, {used}")
