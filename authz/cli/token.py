"""`authz token`: a development token."""

from pathlib import Path
from typing import Any

import click
import msgspec

from authz import identity


def _claim(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    claims = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{item!r} is not NAME=JSON")
        try:
            claims[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise click.BadParameter(
                f"""{name}: {value!r} is not JSON; a string needs quotes: {name}='"..."'"""
            ) from None
    return claims


@click.command()
@click.option("--state", required=True, type=click.Path(path_type=Path), help="State directory of `authz serve --dev`.")
@click.option("--sub", required=True, help="The subject's id.")
@click.option("--role", "roles", multiple=True, help="A role; repeatable.")
@click.option("--scope", "scopes", multiple=True, help="A scope; repeatable. None given: the roles are not restricted.")
@click.option(
    "--ttl", type=click.IntRange(1, 86_400), default=3600, show_default=True, help="Seconds until it expires."
)
@click.option("--claim", "claims", multiple=True, callback=_claim, metavar="K=JSON", help="Another claim; repeatable.")
def token(
    state: Path, sub: str, roles: tuple[str, ...], scopes: tuple[str, ...], ttl: int, claims: dict[str, Any]
) -> None:
    """Print a token that `authz serve --dev` with the same state directory accepts."""
    click.echo(identity.mint_token(state, sub, roles, scopes or None, ttl, claims))
