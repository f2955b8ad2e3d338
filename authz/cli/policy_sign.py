"""`authz policy sign`, `verify` and `inspect`: who stands behind a bundle."""

import sys
import time
from pathlib import Path

import click
import msgspec

from authz import bundle

_BUNDLE = click.argument("archive", metavar="BUNDLE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("sign")
@_BUNDLE
@click.option("--key", "key_file", required=True, type=click.Path(path_type=Path), help="Private key, PEM.")
@click.option("--key-id", required=True, help="What those who verify call this key.")
@click.option("--algorithm", help="RS256 or PS256 for an RSA key; other keys have but one.")
@click.option("--sequence", type=int, help="Has to rise from bundle to bundle; by default the time in seconds.")
@click.option("--add", is_flag=True, help="Beside the signatures that are there, for four eyes. Look at it first.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="By default BUNDLE itself.")
@_JSON
def sign(
    archive: Path,
    key_file: Path,
    key_id: str,
    algorithm: str | None,
    sequence: int | None,
    add: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Sign BUNDLE, so that sidecars and OPA servers that know the key take it.

    With --add the sequence is that of the signatures that are there.
    """
    if add and sequence is not None:
        raise click.UsageError("--add takes the sequence of the signature that is there")
    if not key_id:
        raise click.UsageError("--key-id: must not be empty")
    key = bundle.read_signing_key(key_id, key_file, algorithm)
    content = archive.read_bytes()
    signed = bundle.countersign(content, key) if add else bundle.sign(content, key, sequence or int(time.time()))
    bundle.write(output or archive, signed)
    _show(bundle.inspect(bundle.read(signed)), as_json=as_json)


@click.command("verify")
@_BUNDLE
@click.option("--key", "stated", multiple=True, required=True, metavar="ID=FILE", help="A public key, PEM; repeatable.")
@click.option("--signatures", "required", default=1, show_default=True, help="Of so many different keys.")
@_JSON
def verify(archive: Path, stated: tuple[str, ...], required: int, as_json: bool) -> None:
    """Is BUNDLE, file by file, what the holders of these keys signed? Exit 0: yes, 1: no."""
    keys = [_key(each) for each in stated]
    try:
        found = bundle.read(archive)
        signed = bundle.verify_signatures(found.members, keys, required)
    except bundle.BundleError as error:
        if as_json:
            click.echo(msgspec.json.encode({"valid": False, "reason": error.code, "detail": str(error)}))
        click.echo(f"refused ({error.code}): {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode({"valid": True, "revision": found.revision, **msgspec.to_builtins(signed)}))
    else:
        click.echo(f"revision {found.revision}, sequence {signed.sequence}, signed by {', '.join(signed.key_ids)}")


@click.command("inspect")
@_BUNDLE
@_JSON
def inspect(archive: Path, as_json: bool) -> None:
    """What BUNDLE says of itself. Nothing is verified: see `authz policy verify`. Exit 1: it is not a bundle."""
    try:
        found = bundle.inspect(bundle.read(archive))
    except bundle.BundleError as error:
        click.echo(f"refused ({error.code}): {error}", err=True)
        sys.exit(1)
    _show(found, as_json=as_json)
    if not as_json:
        for member in found.members:
            click.echo(f"{member.size_bytes:>10}  {member.name}")


def _key(stated: str) -> bundle.VerificationKey:
    key_id, equals, file = stated.partition("=")
    if not key_id or not equals or not file:
        raise click.BadParameter(f"{stated!r} is not ID=FILE", param_hint="--key")
    return bundle.read_verification_key(key_id, Path(file))


def _show(found: bundle.Inspection, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(f"revision {found.revision}, built by OPA {found.opa}, sha256 {found.sha256}")
    for each in found.unverified_signatures:
        key_id = each.key_id or "no key id"
        click.echo(f"signed by {key_id} ({each.algorithm}), sequence {each.sequence}; not verified here")
    if not found.unverified_signatures:
        click.echo("not signed")
