"""`authz policy status`, `log`, `activate`, `rollback`: the policy in force in a running sidecar."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import get_audit_events
from authz.cli.bearer import bearer
from authz.cli.ledger_options import could_not_find_out, state_option
from authz.client import AdminRefusedError, admin_get, admin_post

_URL = click.option("--url", required=True, help="Admin listener: http://HOST:PORT or unix:PATH.")
_TOKEN = click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
)
_REASON = click.option("--reason", required=True, help="Why; it is recorded.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ACTIVATE_SECONDS = 200.0
"""It is examined, and replayed where that is configured."""

_SHOWN = ("revision", "reason", "detail", "setting", "from", "to", "by", "sequence", "compared", "different")
_REPLAYED = ("flipped", "untold", "decisions", "trouble", "accepted")
_EVENTS = ("policy.activated", "policy.rejected", "policy.shadowed", "admin.config_changed")


@click.command("status")
@_URL
@_TOKEN
@_JSON
def status(url: str, token_file: Path | None, as_json: bool) -> None:
    """Which policy is in force, since when, how old it is, and what was refused. Exit 3: could not find out."""
    _show(_asked(lambda token: admin_get(url, "/v1/policy", token), token_file, 3), as_json=as_json)


@click.command("log")
@state_option
@click.option("--limit", default=20, show_default=True, help="So many at most.")
@_JSON
def log(directory: Path | None, limit: int, as_json: bool) -> None:
    """What was put in force, refused or rolled back, as the ledger has it, newest first."""
    with could_not_find_out():
        found = [event for kind in _EVENTS for event in get_audit_events(limit=limit, path=directory, type=kind)]
    found = sorted((each for each in found if _is_policy(each)), key=lambda each: str(each["ts"]), reverse=True)[:limit]
    for event in found:
        click.echo(msgspec.json.encode(event) if as_json else _sentence(event))


@click.command("activate")
@click.argument("revision")
@_URL
@_TOKEN
@_REASON
@click.option("--accept-flips", is_flag=True, help="Also if a replay of recent decisions forbids it; it is recorded.")
@_JSON
def activate(revision: str, url: str, token_file: Path | None, reason: str, accept_flips: bool, as_json: bool) -> None:
    """Put REVISION, which the sidecar keeps, in force, and have it follow its source again.

    It takes admin:security:write, or an admin token. Exit 1: the sidecar refused or was not reached.
    """
    body = {"revision": revision, "reason": reason, **({"accept_flips": True} if accept_flips else {})}

    async def posted(token: str | None) -> dict[str, Any]:
        return await admin_post(url, "/v1/policy/activate", body, token, deadline_seconds=_ACTIVATE_SECONDS)

    _show(_asked(posted, token_file, 1), as_json=as_json)


@click.command("rollback")
@click.argument("revision", required=False)
@_URL
@_TOKEN
@_REASON
@_JSON
def rollback(revision: str | None, url: str, token_file: Path | None, reason: str, as_json: bool) -> None:
    """Go back to REVISION, or to the one before, and stay there, restarts included, until the next `activate`.

    It takes admin:security:write, or an admin token. Exit 1: the sidecar refused or was not reached.
    """
    body = {"reason": reason, **({"revision": revision} if revision else {})}
    _show(_asked(lambda token: admin_post(url, "/v1/policy/rollback", body, token), token_file, 1), as_json=as_json)


def _asked(
    command: Callable[[str | None], Awaitable[dict[str, Any]]], token_file: Path | None, failed: int
) -> dict[str, Any]:
    token = bearer(token_file)

    async def asked() -> dict[str, Any]:
        return await command(token)

    try:
        return asyncio.run(asked())
    except AdminRefusedError as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(failed)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    signed = f", sequence {found['sequence']} by {', '.join(found['key_ids'])}" if found["key_ids"] else ""
    click.echo(f"revision {found['revision']}{signed}, in force since {_time(found['activated_at'])} ({found['by']})")
    age = found["age_seconds"]
    click.echo(f"source {found['source']}" + ("" if age is None else f", which confirmed it {age:.0f} s ago"))
    for said, value in (
        ("held by a rollback of", found["pinned"]),
        ("waiting behind it:", found["waiting"]),
        ("the source fails:", found["source_trouble"]),
    ):
        if value:
            click.echo(f"{said} {value}")
    if found["stale"]:
        click.echo("STALE")
    if found["shadow"]:
        shadow = found["shadow"]
        counted = f"{shadow['different']} of {shadow['compared']} decisions differ"
        click.echo(f"in its shadow until {_time(shadow['until'])}: {shadow['revision']}, {counted}")
    if found["replayed"]:
        _show_replayed(found["replayed"])
    if found["rejected"]:
        rejected = found["rejected"]
        click.echo(f"last refused, {_time(rejected['at'])}: {rejected['reason']}: {rejected['detail']}")


def _show_replayed(replayed: dict[str, Any]) -> None:
    said = replayed["trouble"] or (
        f"{replayed['flipped']} of the newest {replayed['decisions']} decisions flip, "
        f"{replayed['untold']} cannot be told, {replayed['left_out']} were left out"
    )
    accepted = f", accepted by {replayed['accepted']}" if replayed["accepted"] else ""
    click.echo(f"last replayed, {_time(replayed['at'])}: {replayed['revision']}: {said}{accepted}")
    for each in replayed["told"]:
        click.echo(f"  {each}")


def _is_policy(event: dict[str, Any]) -> bool:
    return event["type"] != "admin.config_changed" or str(event.get("setting", "")).startswith("policy.")


def _sentence(event: dict[str, Any]) -> str:
    replayed = event.get("replayed", {})
    found = {**event, **{name: replayed[name] for name in _REPLAYED if name in replayed}}
    said = " ".join(f"{name}={found[name]}" for name in (*_SHOWN, *_REPLAYED) if found.get(name) not in (None, ""))
    return f"{event['ts']}  {event['type']}  {said}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "the start"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
