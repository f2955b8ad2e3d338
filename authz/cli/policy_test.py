"""`authz policy test`."""

import contextlib
import sys
from pathlib import Path

import click
import msgspec

from authz import log
from authz.bundle import OpaMissingError
from authz.policy import Asked, GateReport, as_junit, changed, gate

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_PERCENT = click.FloatRange(0, 100)


@click.command("test")
@click.argument("source", type=_DIRECTORY, default="policies")
@click.option(
    "--coverage", type=_PERCENT, default=100, show_default=True, help="Percent of each file that tests reach."
)
@click.option("--min-tests", type=click.IntRange(1), help="Rego tests at least; else what the golden matrix recorded.")
@click.option("--cases", type=_DIRECTORY, multiple=True, help="More cases than those in SOURCE/cases; repeatable.")
@click.option("--engine", type=click.Choice(["embedded", "opa"]), default="embedded", help="opa: ask a server as well.")
@click.option("--matrix", type=_PERCENT, default=0, show_default=True, help="Percent of role x scope x route covered.")
@click.option("--golden", type=_FILE, help="The golden matrix; by default SOURCE/cases/golden.yaml, if it is there.")
@click.option("--update", is_flag=True, help="Write the golden matrix anew, for review.")
@click.option("--junit", type=_FILE, help="Write a JUnit report as well.")
@click.option("--watch", is_flag=True, help="Again at each change, until Ctrl-C.")
@click.option("--opa", type=click.Path(path_type=Path), help="The opa program; found on PATH if not stated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test_command(
    source: Path,
    coverage: float,
    min_tests: int | None,
    cases: tuple[Path, ...],
    engine: str,
    matrix: float,
    golden: Path | None,
    update: bool,
    junit: Path | None,
    watch: bool,
    opa: Path | None,
    as_json: bool,
) -> None:
    """Whether the policy in SOURCE may be merged: it compiles strictly, its Rego tests pass and reach every line, it
    decides as its cases say, and every cell of role x scope x route is as it was reviewed.

    Exit 0: yes; 1: no; 2: wrong usage; 3: there is no opa to find out with.
    """
    if engine == "opa":
        log.configure("error")
    asked = Asked(
        coverage=coverage,
        min_tests=min_tests,
        cases=cases,
        engine="opa" if engine == "opa" else "embedded",
        matrix=matrix,
        golden=golden,
        update=update,
        opa=opa,
    )
    if not watch:
        sys.exit(0 if _run(source, asked, junit, as_json=as_json).ok else 1)
    if update:
        raise click.UsageError("--watch compares, --update writes: use one of them")
    with contextlib.suppress(KeyboardInterrupt):
        for _ in changed((source, *cases, *((golden,) if golden is not None else ()))):
            if sys.stdout.isatty():
                click.clear()
            _run(source, asked, junit, as_json=as_json)
            click.echo("watching; Ctrl-C ends it", err=True)


def _run(source: Path, asked: Asked, junit: Path | None, *, as_json: bool) -> GateReport:
    try:
        report = gate(source, asked)
    except OpaMissingError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    if junit is not None:
        junit.write_text(as_junit(report), encoding="utf-8")
    click.echo(msgspec.json.encode(report.document()) if as_json else str(report))
    return report
