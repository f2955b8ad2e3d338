"""`authz audit prove`, `verify-proof`, `evidence` and `verify-evidence`: what others can check without trusting us."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import (
    CheckedProof,
    Evidence,
    LedgerDamagedError,
    NoSuchEventError,
    NotCoveredError,
    NothingToShowError,
    check_proof,
    prove,
    read_node_keys,
    read_witness_keys,
    stream_summaries,
    verify_evidence,
    write_evidence,
)
from authz.cli.ledger_options import could_not_find_out, filter_options, progress_bar, state_option
from authz.tlog import TlogError

_FILE = click.Path(dir_okay=False, path_type=Path)
_KEYS = click.option("--public-key", "keys", multiple=True, metavar="KEY|FILE", help="The node's public key.")
_WITNESSES = click.option("--witness", "witnesses", multiple=True, metavar="KEY|FILE", help="A witness's public key.")


@contextmanager
def _told() -> Iterator[None]:
    """Exit 1 where the answer is no, 3 where it could not be found out."""
    try:
        with could_not_find_out():
            yield
    except (LedgerDamagedError, NothingToShowError, TlogError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except (NotCoveredError, NoSuchEventError) as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)


@click.command("prove")
@click.argument("event", metavar="ID|STREAM/SEQ")
@state_option
@click.option("-o", "--output", type=_FILE, help="The proof; by default EVENT.tlog-proof in this directory.")
@click.option("--record", type=_FILE, help="Write the record here too: its exact bytes, without a newline.")
@click.option("--without-record", is_flag=True, help="Leave the record out of the proof.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prove_command(
    event: str, directory: Path | None, output: Path | None, record: Path | None, without_record: bool, as_json: bool
) -> None:
    """Write the proof of one event, with its record, for whoever has the node's public key.

    It is a c2sp.org/tlog-proof@v1 file. Exit 1: the record is not what was signed; 3: no checkpoint covers it yet, or
    there is no such event.
    """
    with _told():
        proven = prove(directory, event, with_record=not without_record)
    path = output or Path(f"{proven.stream}-{proven.seq}.tlog-proof")
    path.write_bytes(proven.proof)
    if record is not None:
        record.write_bytes(proven.record)
    if as_json:
        shown = {"proof": str(path), "stream": proven.stream, "seq": proven.seq, "origin": proven.origin}
        click.echo(msgspec.json.encode({**shown, "size": proven.size, "signature_checked": proven.verified}))
        return
    click.echo(f"{path}: record {proven.seq} of {proven.size} in {proven.origin}")
    if not proven.verified:
        click.echo("note: there is no public key in the state directory, so the signature was not checked", err=True)


@click.command("verify-proof")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--record", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The record's exact bytes."
)
@click.option("--public-key", "keys", multiple=True, required=True, metavar="KEY|FILE", help="The node's public key.")
@_WITNESSES
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_proof_command(
    file: Path, record: Path | None, keys: tuple[str, ...], witnesses: tuple[str, ...], as_json: bool
) -> None:
    """Does the proof in FILE hold? Exit 0: yes, 1: no. Without --record it is of the record that came with it.

    A witness that was named and did not see the checkpoint is exit 1.
    """
    with _told():
        given = None if record is None else record.read_bytes().removesuffix(b"\n")
        found = check_proof(file.read_bytes(), given, read_node_keys(keys), read_witness_keys(witnesses))
    _tell(found, as_json=as_json)


def _tell(found: CheckedProof, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found.document()))
        return
    click.echo(f"holds: record {found.header.seq} of {found.checkpoint.size}, signed by {found.key}")
    for name, seconds in found.witnessed:
        click.echo(f"seen by {name} at {datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}")
    click.echo(ascii(found.record.decode())[1:-1] if sys.stdout.isatty() else found.record)


@click.command("evidence")
@state_option
@click.option("-o", "--output", required=True, type=_FILE, metavar="ZIP", help="The package.")
@click.option("--compact", is_flag=True, help="One hash for whole stretches of withheld records: a smaller package.")
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evidence_command(directory: Path | None, output: Path, compact: bool, as_json: bool, **asked: Any) -> None:
    """Pack the events that match, and all it takes to check them without trusting us, into ZIP.

    Exit 1: nothing matches, or the ledger is damaged; 3: no checkpoint covers what matches yet.
    """
    params = asked.pop("params")
    with _told():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with progress_bar("Packing", size) as progress:
            packed = write_evidence(output, asked, path=directory, params=params, compact=compact, progress=progress)
    if as_json:
        click.echo(msgspec.json.encode({"package": str(output), "sha256": packed.sha256, "manifest": packed.manifest}))
        return
    _tell_packed(output, packed)


def _tell_packed(output: Path, packed: Evidence) -> None:
    for each in packed.manifest.streams:
        between = each.last - each.first + 1 - each.shown
        click.echo(f"{each.stream}: {each.shown} records shown, {between} withheld between them, of {each.size}")
    for policy in packed.manifest.policies:
        click.echo(f"policy {policy.revision}: {policy.origin}")
    click.echo(f"{output}: tell the receiver this number by another way: {packed.sha256}")
    if packed.manifest.uncovered:
        click.echo(
            f"note: {packed.manifest.uncovered} matching events are newer than the checkpoint: left out", err=True
        )
    if not packed.manifest.node:
        click.echo("note: no roll-up of the node is under a checkpoint: the package comes without one", err=True)


@click.command("verify-evidence")
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@_KEYS
@_WITNESSES
def verify_evidence_command(package: Path, keys: tuple[str, ...], witnesses: tuple[str, ...]) -> None:
    """Check an evidence package, a zip or a directory, with this installation's copy of its verify.py.

    Exit 0: nothing is wrong, 1: something is, 3: could not find out. Without --public-key only that it fits together.
    """
    sys.exit(verify_evidence(package, keys, witnesses))
