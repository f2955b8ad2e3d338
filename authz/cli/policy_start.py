"""`authz policy init`, `import` and `new`: a policy for one's own API."""

import sys
from pathlib import Path

import click

from authz.policy import (
    Document,
    DocumentError,
    PolicyFiles,
    compare_document,
    init,
    new_role,
    new_route,
    new_scope,
    read_document,
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_POLICY = click.Path(exists=True, file_okay=False, path_type=Path)
_SCHEMES = click.option(
    "--scheme", "schemes", multiple=True, help="Only this security scheme of the document counts; repeatable."
)


@click.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--openapi", type=_FILE, help="Take the routes from this OpenAPI document, as `import` does.")
@_SCHEMES
def init_command(directory: Path, openapi: Path | None, schemes: tuple[str, ...]) -> None:
    """Lay out a policy in DIRECTORY: the default rules, the administrators' roles and scopes, and no routes yet."""
    init(directory)
    click.echo(f"{directory}: a policy without routes: every request is denied")
    if openapi is not None:
        _import(openapi, directory, schemes)
    click.echo(f"Next: authz policy test {directory}; authz policy matrix {directory}")


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--into", "directory", required=True, type=_POLICY, help="The policy's directory.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if document and policy differ.")
@_SCHEMES
def import_command(file: Path, directory: Path, check: bool, schemes: tuple[str, ...]) -> None:
    """Take routes and scopes from an OpenAPI 3 document, FILE (JSON or YAML).

    What the document leaves open is listed and stays closed. What the policy already has is not changed.
    """
    if not check:
        _import(file, directory, schemes)
        return
    drift = compare_document(_read(file, schemes).operations, PolicyFiles(directory).read("routes"))
    for line in drift.lines():
        click.echo(line)
    sys.exit(1 if drift.found else 0)


@click.command("new")
@click.argument("kind", type=click.Choice(["role", "scope", "route"]))
@click.argument("name")
@click.option("--into", "directory", required=True, type=_POLICY, help="The policy's directory.")
@click.option("--method", "methods", multiple=True, default=("GET",), help="Of a route; repeatable.")
@click.option("--scope", "scopes", multiple=True, help="That a role holds, or a route needs; repeatable.")
@click.option("--description", default="", help="Of a role or scope, one line.")
def new_command(
    kind: str, name: str, directory: Path, methods: tuple[str, ...], scopes: tuple[str, ...], description: str
) -> None:
    """Add a role, a scope or a route called NAME, and a case file beside it that says what it has to do."""
    files = PolicyFiles(directory)
    if name in files.read(f"{kind}s"):
        raise click.UsageError(f"{name}: there is such a {kind} already")
    if kind == "route" and not name.startswith("/"):
        raise click.UsageError(f"{name}: a route's NAME is its path and begins with /; its methods are --method")
    if kind != "scope" and not scopes:
        raise click.UsageError(f"--scope: say which scopes the {kind} {'holds' if kind == 'role' else 'needs'}")
    if kind == "role":
        case = new_role(files, name, scopes, description or name)
    elif kind == "scope":
        case = new_scope(files, name, description or name)
    else:
        case = new_route(files, name, methods, scopes)
    click.echo(f"{directory}: added {kind} {name}, and what it has to do in {case}")


def _import(file: Path, directory: Path, schemes: tuple[str, ...]) -> None:
    document, files = _read(file, schemes), PolicyFiles(directory)
    drift = compare_document(document.operations, files.read("routes"))
    wanted = [each.requirement for each in drift.missing if each.requirement is not None]
    new = files.add_scopes((s for each in wanted for s in (*each.all_of, *each.any_of)), document.descriptions)
    files.add_routes(drift.missing)
    mapped = sum(each.requirement is not None for each in document.operations)
    click.echo(
        f"{len(document.operations)} operations: {mapped} mapped ({len(drift.missing)} new), "
        f"{len(document.operations) - mapped} undecided; {len(new)} new scopes, which no role holds yet"
    )
    for each in drift.missing:
        if each.requirement is not None and each.requirement.public:
            click.echo(f"now public, as the document says: {each}")
    for line in drift.lines():
        if not line.startswith("not in the policy"):
            click.echo(line)


def _read(file: Path, schemes: tuple[str, ...]) -> Document:
    try:
        return read_document(file, frozenset(schemes))
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
