"""`authz check`."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from authz.client import Answer, AuthzClient, CouldNotDecideError
from authz.core import Decision, Entity, Kind, explanation
from authz.pdp import decide_offline


@click.command()
@click.option("--url", help="A running sidecar, such as http://127.0.0.1:8080.")
@click.option("--policy", "bundle", type=click.Path(path_type=Path), help="Or a bundle, evaluated here; unrecorded.")
@click.option("--method", required=True, help="HTTP method.")
@click.option("--path", required=True, help="Request path.")
@click.option("--host", help="Host of the request.")
@click.option("--token", help="The user's token; `-` reads it from standard input. Needs --url.")
@click.option("--sub", help="Or a subject, on your word; needs a caller that is trusted to assert.")
@click.option("--role", "roles", multiple=True, help="A role of --sub.")
@click.option("--scope", "scopes", multiple=True, help="A scope of --sub.")
@click.option("--explain", is_flag=True, help="Say why.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    url: str | None,
    bundle: Path | None,
    method: str,
    path: str,
    host: str | None,
    token: str | None,
    sub: str | None,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    explain: bool,
    as_json: bool,
) -> None:
    """May this token, or this subject, do this? Exit 0: allow, 1: deny, 3: could not decide."""
    if (url is None) == (bundle is None):
        raise click.UsageError("state either --url or --policy")
    if (token is None) == (sub is None):
        raise click.UsageError("state either --token or --sub")
    if bundle is not None and token is not None:
        raise click.UsageError("--token needs --url: a bundle alone has no issuer's keys to verify it with")
    properties = {"roles": list(roles), **({"scopes": list(scopes)} if scopes else {})} if sub is not None else {}
    subject = Entity("user", sub or "", properties)
    resource = Entity("route", path, {"host": host} if host else {})
    if token == "-":  # noqa: S105 - a dash is no password
        token = sys.stdin.read().strip()
    if token == "":
        raise click.UsageError("--token: is empty")
    try:
        if bundle is None:
            answer = asyncio.run(_ask(url or "", subject, method, resource, token, explain=explain))
        else:
            answer = _answer(*asyncio.run(decide_offline(bundle, subject, method, resource)))
    except CouldNotDecideError as error:
        click.echo(f"could not decide: {error}", err=True)
        sys.exit(3)
    _show(answer, explain=explain, as_json=as_json)
    sys.exit(0 if answer.allow else 1)


async def _ask(url: str, subject: Entity, method: str, resource: Entity, token: str | None, *, explain: bool) -> Answer:
    async with AuthzClient(url) as client:
        return await client.evaluate(subject, method, resource, token=token, explain=explain)


def _answer(decision: Decision, why: tuple[str, ...]) -> Answer:
    if decision.kind is Kind.UNDECIDED:
        raise CouldNotDecideError(decision.reason)
    return Answer(decision.allow, explanation(decision, why))


def _show(answer: Answer, *, explain: bool, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    click.echo("allow" if answer.allow else "deny")
    if not explain:
        return
    for sentence in answer.context.get("why", ()):
        click.echo(sentence)
    for name, value in answer.context.items():
        if name != "why":
            click.echo(f"  {name}: {msgspec.json.encode(value).decode() if not isinstance(value, str) else value}")
