"""`authz audit alarms`: what the rules would say of recorded history."""

from pathlib import Path

import click
import msgspec

from authz import config
from authz.audit import RULE_NAMES, Trial, stream_summaries, try_alarms
from authz.cli.ledger_options import could_not_find_out, progress_bar, state_option
from authz.cli.table import printable, table

_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


def _changes(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for name, _, value in pairs:
        if not value or name.count(".") != 1:
            raise click.BadParameter(f"{name!r} is not RULE.KEY=VALUE, such as many_denials.threshold=50")
    return {f"audit.alarms.{name}": value for name, _, value in pairs}


@click.group("alarms")
def alarms() -> None:
    """The rules that raise alarms."""


@alarms.command("test")
@state_option
@click.option("--config", "file", type=_FILE, help="TOML configuration with the rules' settings.")
@click.option("--since", default="7d", show_default=True, help="From then on: 2026-11-23T08:00:00Z, a date, or 2h, 7d.")
@click.option("--set", "changes", multiple=True, callback=_changes, metavar="RULE.KEY=VALUE", help="Try this instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test(directory: Path | None, file: Path | None, since: str, changes: dict[str, str], as_json: bool) -> None:
    """Run the rules over recorded history, as they are configured or with other thresholds.

    Nothing is recorded. What is older than --since only teaches the rules who was here before. Exit 3 when there is no
    ledger to read.
    """
    settings = config.read(file, flags=changes).audit.alarms
    with could_not_find_out():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with progress_bar("Reading", size) as progress:
            trial = try_alarms(directory, settings, since, progress)
    if as_json:
        click.echo(msgspec.json.encode(trial))
    else:
        _print(trial)


def _print(trial: Trial) -> None:
    rows = [(f"{each.body['decided_at'][:19]}Z", each.rule, _who(each.body), _what(each.body)) for each in trial.alarms]
    if rows:
        for line in table([("TIME", "RULE", "SUBJECT", "WHAT"), *rows]):
            click.echo(line)
        click.echo()
    counted = ", ".join(f"{name} {trial.by_rule[name]}" for name in RULE_NAMES)
    click.echo(f"{len(trial.alarms)} alarms in {trial.decisions} decisions since {trial.since[:19]}Z: {counted}")


def _who(body: dict[str, object]) -> str:
    return printable(str(body.get("subject") or body.get("token_id") or "-"))


def _what(body: dict[str, object]) -> str:
    counted = f"{body['count']} within {body['window_seconds']} s" if "count" in body else ""
    named = body.get("scopes")
    scopes = " ".join(map(str, named)) if isinstance(named, list) else ""
    return printable(" ".join(filter(None, (counted, scopes))) or "-")
