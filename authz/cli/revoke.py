"""`authz revoke`: tokens that no longer count, on every replica that is named."""

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from authz.audit import moment
from authz.cli.bearer import bearer
from authz.cli.table import table
from authz.client import AdminRefusedError, admin_delete, admin_get, admin_post
from authz.core import BadRequestError

_PATH = "/v1/revocations"
HEADINGS = ("replica", "id", "kind", "pseudonym", "issued before", "by", "reason")
_url = click.option(
    "--url", "urls", multiple=True, required=True, help="Admin listener of a replica: http://HOST:PORT or unix:PATH."
)
_token = click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True)
@click.option("--subject", metavar="ID", help="Everything of a subject: its `sub`; - reads it from standard input.")
@click.option("--jti", metavar="ID", help="One token.")
@click.option("--session", metavar="ID", help="Every token of a session: its `sid`.")
@click.option(
    "--issued-before", metavar="WHEN", help="Tokens issued before: now, 2h ago as 2h, or a time. Also beside --subject."
)
@click.option("--issuer", default="", help="Only this issuer's; by default every issuer's.")
@click.option("--expires-at", type=int, help="With --jti: when the token ends, in seconds since 1970.")
@click.option("--reason", help="Why. It is recorded, and must name nobody.")
@click.option("--url", "urls", multiple=True, help="Admin listener of a replica: http://HOST:PORT or unix:PATH.")
@_token
@_json
@click.pass_context
def revoke(
    context: click.Context,
    subject: str | None,
    jti: str | None,
    session: str | None,
    issued_before: str | None,
    issuer: str,
    expires_at: int | None,
    reason: str | None,
    urls: tuple[str, ...],
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Have tokens refused (`token_revoked`) from the next decision on.

    Each sidecar keeps its own list, so name every replica. Exit 0: it holds on all of them; 3: one was missed.
    """
    if context.invoked_subcommand is not None:
        return
    if not urls or not reason:
        raise click.UsageError("state --reason, and --url for each replica")
    clear = sys.stdin.readline().rstrip("\n") if subject == "-" else subject
    asked = {
        "subject": clear,
        "jti": jti,
        "session": session,
        "issued_before": None if issued_before is None else _second(issued_before),
        "issuer": issuer,
        "expires_at": expires_at,
        "reason": reason,
    }
    sent = {name: value for name, value in asked.items() if value is not None}
    found = _everywhere(urls, token_file, lambda url, token: admin_post(url, _PATH, sent, token))
    _report(found, as_json, "holds", lambda done: f"revoked as {done['id']}")


@revoke.command("lift")
@click.argument("revocation")
@click.option("--reason", default="", help="Why. It is recorded, and must name nobody.")
@_url
@_token
@_json
def lift(revocation: str, reason: str, urls: tuple[str, ...], token_file: Path | None, as_json: bool) -> None:
    """Lift a revocation by its ID, which each replica has its own of (`authz revoke list`)."""
    query = urlencode({"id": revocation, **({"reason": reason} if reason else {})})
    found = _everywhere(urls, token_file, lambda url, token: admin_delete(url, f"{_PATH}?{query}", token))
    _report(found, as_json, "is lifted", lambda done: f"lifted {done['id']}")


@revoke.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Newest of each replica.")
@_url
@_token
@_json
def list_command(limit: int, urls: tuple[str, ...], token_file: Path | None, as_json: bool) -> None:
    """What is revoked, by pseudonym: nobody can be named any more. Exit 3 when a replica was missed."""
    found = _everywhere(urls, token_file, lambda url, token: admin_get(url, f"{_PATH}?limit={limit}", token))
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        rows = [HEADINGS] + [
            (url, *(str(each.get(name, "-")) for name in ("id", "kind", "pseudonym", "issued_before", "by", "reason")))
            for url, answer in found.items()
            for each in answer.get("revocations", ())
        ]
        for line in table(rows):
            click.echo(line)
    _end(found)


def _everywhere(
    urls: tuple[str, ...], token_file: Path | None, ask: Callable[[str, str | None], Awaitable[dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    token = bearer(token_file)

    async def one(url: str) -> dict[str, Any]:
        try:
            return await ask(url, token)
        except AdminRefusedError as error:
            return {"error": str(error)}

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(one, urls))

    return dict(zip(urls, asyncio.run(all_of_them()), strict=True))


def _report(found: dict[str, dict[str, Any]], as_json: bool, verb: str, said: Any) -> None:
    held = sum("error" not in answer for answer in found.values())
    if as_json:
        click.echo(msgspec.json.encode({"replicas": found, "held": held, "of": len(found)}))
    else:
        for url, answer in found.items():
            click.echo(f"{url}: {said(answer) if 'error' not in answer else 'MISSED'}")
        click.echo(f"{verb} on {held} of {len(found)} replicas")
    _end(found)


def _end(found: dict[str, dict[str, Any]]) -> None:
    missed = [answer["error"] for answer in found.values() if "error" in answer]
    for error in missed:
        click.echo(f"missed: {error}", err=True)
    sys.exit(3 if missed else 0)


def _second(when: str) -> int:
    """A moment as the second after it: a token issued within that second is older than now."""
    try:
        text = moment("--issued-before", "0s" if when == "now" else when)
    except BadRequestError as error:
        raise click.UsageError(str(error)) from None
    return math.ceil(datetime.fromisoformat(text).timestamp())
