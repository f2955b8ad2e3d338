"""`authz explain`."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import quote

import click
import msgspec

from authz.activation import kept_bundle
from authz.audit import LedgerUnreadableError, NoSuchEventError, find_event, state_directory
from authz.bundle import OpaMissingError
from authz.cli.bearer import bearer
from authz.cli.ledger_options import state_option
from authz.cli.privacy_options import FILE
from authz.client import AdminRefusedError, admin_get
from authz.policy import (
    Explained,
    ExplainedCase,
    NoSuchCaseError,
    NotADecisionError,
    explain_cases,
    explain_event,
    named_cases,
    opened,
    policy_beside,
)


@click.command()
@click.argument("event_id", metavar="[ID]", required=False)
@click.option("--case", "case", metavar="FILE[:NAME]", help="Cases instead, or one of them by its name.")
@click.option("--policy", "source", help="For --case: a bundle, a directory, git:REF; by default where its file lies.")
@state_option
@click.option("--url", "urls", multiple=True, help="Admin listener of a replica instead; may be given again.")
@click.option("--token-file", type=FILE, help="File with the bearer token to show to them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    event_id: str | None,
    case: str | None,
    source: str | None,
    directory: Path | None,
    urls: tuple[str, ...],
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Why the decision with this ID came out so, and what would change it, by the policy that it was made with; or why
    a policy decides a case as it does.

    Exit 0: explained; 1: there is no such decision or case; 3: nobody who could know was reached, or there is no opa.
    """
    if (event_id is None) == (case is None):
        raise click.UsageError("state either ID or --case")
    if case is not None:
        if urls or directory is not None:
            raise click.UsageError("--case needs no --state and no --url, but a --policy")
        _explain_cases(case, source, as_json=as_json)
        return
    if source is not None:
        raise click.UsageError("--policy goes with --case: a past decision is explained by the policy that made it")
    _explain_event(event_id or "", directory, urls, token_file, as_json=as_json)


def _explain_cases(case: str, source: str | None, *, as_json: bool) -> None:
    try:
        cases, beside = named_cases(case), policy_beside(case)
        if source is None and beside is None:
            raise click.UsageError(f"--policy: say by which policy; {case} lies in no policy's cases/")
        one = opened(source or str(beside))
    except NoSuchCaseError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except OpaMissingError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    found = asyncio.run(explain_cases(one, cases))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo("\n\n".join(map(_case_text, found)))


def _case_text(each: ExplainedCase) -> str:
    said = "as it says" if each.otherwise is None else f"OTHERWISE than it says: {each.otherwise}"
    heading = f"{each.file}:{each.line}  {each.name}"
    return "\n".join((heading, f"{each.decision} ({each.reason}), revision {each.revision}, {said}", *each.why))


def _explain_event(
    event_id: str, directory: Path | None, urls: tuple[str, ...], token_file: Path | None, *, as_json: bool
) -> None:
    if urls and directory is not None:
        raise click.UsageError("state either --state or --url")
    token = bearer(token_file)
    found = _asked_of(urls, event_id, token) if urls else _of_directory(directory, event_id)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(f"{found.ts}  {found.decision} ({found.reason}), revision {found.revision}")
    click.echo("\n".join(found.why))


def _of_directory(directory: Path | None, event_id: str) -> Explained:
    try:
        event = find_event(event_id, directory)
        state = state_directory(directory)
        return asyncio.run(explain_event(event, lambda revision: kept_bundle(state, revision)))
    except (NoSuchEventError, NotADecisionError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except LedgerUnreadableError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)


def _asked_of(urls: tuple[str, ...], event_id: str, token: str | None) -> Explained:
    """The first that has the decision."""
    path = f"/v1/policy/explain/{quote(event_id, safe='')}"
    missed = []
    for url in dict.fromkeys(urls):
        try:
            return msgspec.convert(asyncio.run(admin_get(url, path, token)), Explained)
        except AdminRefusedError as error:
            if error.status != 404:
                missed.append(str(error))
    click.echo(f"could not find out: {'; '.join(missed)}" if missed else f"there is no decision {event_id!r}", err=True)
    sys.exit(3 if missed else 1)
