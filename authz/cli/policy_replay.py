"""`authz policy replay`: what recorded decisions would have been under another policy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from authz.audit import LedgerDamagedError, moment, state_directory, stream_summaries
from authz.bundle import OpaMissingError
from authz.cli.ledger_options import could_not_find_out, progress_bar, state_option
from authz.core import AuthzError
from authz.policy import (
    Fold,
    Replay,
    Replaying,
    bundle_of,
    opened_bundle,
    read_profiles,
    read_verified,
    reads_of,
    replay,
    routes_known,
    write_profiles,
)

_SINCE = click.option("--since", default="", help="Not before: 2026-11-23, 2026-11-23T08:00:00Z, or 7d ago.")


@click.command("replay")
@state_option
@click.option("--candidate", required=True, help="A bundle, a directory, or git:REF[:DIRECTORY].")
@click.option("--profile", "profiled", type=click.Path(path_type=Path), help="What `profile` wrote, for a ledger.")
@click.option("--recorded-under", "under", multiple=True, help="A bundle that the state directory does not keep.")
@_SINCE
@click.option("--fail-on", type=click.Choice(["gain", "loss", "any"]), help="Exit 1 if any decision flips so.")
@click.option("--max-flips", type=int, help="Exit 1 if more decisions flip, of those that --fail-on names.")
@click.option("--max-untold", default=0, show_default=True, help="With either: exit 3 if more cannot be told.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay_command(
    directory: Path | None,
    candidate: str,
    profiled: Path | None,
    under: tuple[str, ...],
    since: str,
    fail_on: str | None,
    max_flips: int | None,
    max_untold: int,
    as_json: bool,
) -> None:
    """What would have come out of the decisions in the ledger under --candidate.

    Exit 1: too many flip, or the ledger is not intact. Exit 2: the candidate cannot be replayed. Exit 3: could not find
    out, as there is no ledger or no opa, or too many decisions cannot be told.
    """
    with finding_out():
        bundle = bundle_of(candidate)
        known = routes_known(state_directory(directory), bundle, *map(bundle_of, under))
        policy = opened_bundle(candidate, bundle).policy
        replaying = Replaying(policy, reads_of(bundle), known, moment("since", since) if since else "")
        if profiled is not None:
            replaying.take(read_profiles(profiled))
            found = replaying.result()
        else:
            with progress_bar("Replaying", sum(each.size_bytes for each in stream_summaries(directory))) as progress:
                found = replay(replaying, directory, progress)
    click.echo(msgspec.json.encode(found) if as_json else str(found))
    if fail_on is not None or max_flips is not None:
        _gate(found, fail_on or "any", max_flips or 0, max_untold)


def _gate(found: Replay, fail_on: str, max_flips: int, max_untold: int) -> None:
    flips = found.of(fail_on)  # type: ignore[arg-type]  # one of the choices
    if flips > max_flips:
        click.echo(f"{flips} decisions flip, and {max_flips} may", err=True)
        sys.exit(1)
    if found.unanswered > max_untold:
        click.echo(f"{found.unanswered} decisions cannot be told, and {max_untold} may be such", err=True)
        sys.exit(3)


@contextmanager
def finding_out() -> Iterator[None]:
    """Exit 1 where the ledger is not intact, 2 for a policy that cannot be asked, 3 where nobody can say."""
    try:
        with could_not_find_out():
            yield
    except LedgerDamagedError as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(1)
    except OpaMissingError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    except AuthzError as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(2)


@click.command("profile")
@state_option
@click.option("--since", default="30d", show_default=True, help="Decisions not before that.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file.")
def profile_command(directory: Path | None, since: str, output: Path) -> None:
    """Write what was asked and decided, with counts and no subjects, for `replay --profile` where there is no ledger.

    Exit 1: the ledger is not intact. Exit 3: could not find out.
    """
    with finding_out():
        fold = Fold(moment("since", since))
        with progress_bar("Reading", sum(each.size_bytes for each in stream_summaries(directory))) as progress:
            read_verified(fold, directory, progress)
        write_profiles(output, fold.tallies)
    click.echo(f"{output}: {len(fold.tallies)} profiles of {fold.decisions} decisions")
