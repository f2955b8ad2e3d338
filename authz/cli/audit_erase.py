"""`authz audit erase`: unlink a person from the ledger, which stays as it is."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import state_directory, stream_summaries
from authz.cli.bearer import bearer
from authz.cli.ledger_options import changing_the_ledger, progress_bar, state_option
from authz.cli.privacy_options import Places, places, privacy_options
from authz.client import AdminRefusedError, admin_post
from authz.privacy import erase_offline


@click.command("erase")
@click.option("--subject", required=True, metavar="ID", help="The clear id; - reads it from standard input.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--reference", help="A case number for the receipt. It must not name her: it stands there for ever.")
@state_option
@privacy_options
@click.option("--url", "urls", multiple=True, help="Admin listener of a replica, one for each; instead of --state.")
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def erase(
    subject: str,
    dry_run: bool,
    reference: str | None,
    directory: Path | None,
    key: Path | None,
    identities: Path | None,
    urls: tuple[str, ...],
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Erase what links a person's records to her: her salt, her name. The ledger is not touched and still verifies.

    Each node keeps its own table, so name every replica, or run it on each. A receipt that names nobody is recorded.
    Exit 0: no record leads to her by any key held there; 1: some still do, by a key that has to be destroyed; 3: not
    done, or not on every replica.
    """
    clear = sys.stdin.readline().rstrip("\n") if subject == "-" else subject
    asked = {"subject": clear, "reference": reference, "dry_run": dry_run}
    if urls:
        token = bearer(token_file)
        found = asyncio.run(_on_replicas(urls, asked, token))
    else:
        found = {"here": _here(directory, places(directory, key, identities), asked)}
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for where, done in found.items():
            _tell(where, done)
    if any("error" in done for done in found.values()):
        sys.exit(3)
    sys.exit(0 if all(done["complete"] for done in found.values()) else 1)


def _here(directory: Path | None, where: Places, asked: dict[str, Any]) -> dict[str, Any]:
    with changing_the_ledger():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with progress_bar("Reading", size) as progress:
            return erase_offline(
                state_directory(directory),
                where.keyring(),
                where.table,
                asked["subject"],
                asked["reference"],
                dry_run=asked["dry_run"],
                progress=progress,
            ).document()


async def _on_replicas(urls: tuple[str, ...], asked: dict[str, Any], token: str | None) -> dict[str, dict[str, Any]]:
    async def one(url: str) -> dict[str, Any]:
        try:
            return await admin_post(url, "/v1/audit/erase", asked, token, deadline_seconds=600.0)
        except AdminRefusedError as error:
            return {"error": str(error)}

    return dict(zip(urls, await asyncio.gather(*map(one, urls)), strict=True))


def _tell(where: str, done: dict[str, Any]) -> None:
    if "error" in done:
        click.echo(f"{where}: NOT DONE: {done['error']}", err=True)
        return
    would = "would be " if done["dry_run"] else ""
    rows = done["identities"] + done["owned"]
    click.echo(f"{where}: {rows} salts or names {would}erased, {done['unlinked']} records {would}unlinked")
    for key_id, records in done["linked"].items():
        click.echo(
            f"{where}: {records} records lead to her by key {key_id}, until it is destroyed everywhere: "
            f"authz keys pseudonyms destroy {key_id}"
        )
    if done["receipt"]:
        click.echo(f"{where}: receipt {done['receipt']}")
