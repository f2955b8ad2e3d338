"""The command line: one file per command group, and no logic in any of them."""

import sys

import click

from authz import __version__
from authz.cli.audit import audit
from authz.cli.audit_alarms import alarms
from authz.cli.audit_erase import erase
from authz.cli.audit_events import events_command
from authz.cli.audit_evidence import COMMANDS as EVIDENCE_COMMANDS
from authz.cli.audit_export import export_command
from authz.cli.audit_hold import hold
from authz.cli.audit_retention import archive_command, prune_command
from authz.cli.audit_rules import degrade, new_stream
from authz.cli.audit_sign import sign
from authz.cli.audit_tail import tail_command
from authz.cli.audit_timeline import timeline_command
from authz.cli.audit_top import top_command
from authz.cli.audit_verify import verify_command
from authz.cli.audit_witness import witness
from authz.cli.check import check
from authz.cli.config import config
from authz.cli.explain import explain
from authz.cli.keys import keys
from authz.cli.keys_privacy import pseudonyms, team
from authz.cli.policy import policy
from authz.cli.policy_access import COMMANDS as ACCESS_COMMANDS
from authz.cli.policy_admin import COMMANDS as POLICY_COMMANDS
from authz.cli.policy_replay import COMMANDS as REPLAY_COMMANDS
from authz.cli.policy_sign import COMMANDS as SIGNING_COMMANDS
from authz.cli.policy_start import COMMANDS as STARTING_COMMANDS
from authz.cli.policy_test import COMMANDS as TESTING_COMMANDS
from authz.cli.policy_used import COMMANDS as USED_COMMANDS
from authz.cli.report import report
from authz.cli.revoke import revoke
from authz.cli.serve import serve
from authz.cli.slo import slo
from authz.cli.token import token
from authz.core import AuthzError

__all__ = ["main", "program"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="authz")
def program() -> None:
    """An authorization decision point for API gateways."""


for command in (serve, check, explain, report, token, revoke, audit, policy, keys, slo, config):
    program.add_command(command)
for command in (
    events_command,
    tail_command,
    top_command,
    timeline_command,
    verify_command,
    alarms,
    sign,
    witness,
    degrade,
    new_stream,
    hold,
    erase,
    export_command,
    archive_command,
    prune_command,
    *EVIDENCE_COMMANDS,
):
    audit.add_command(command)
for command in (
    *STARTING_COMMANDS,
    *TESTING_COMMANDS,
    *ACCESS_COMMANDS,
    *REPLAY_COMMANDS,
    *USED_COMMANDS,
    *SIGNING_COMMANDS,
    *POLICY_COMMANDS,
):
    policy.add_command(command)
for command in (pseudonyms, team):
    keys.add_command(command)


def main() -> None:
    """Run the program. A domain error is one clear message and exit code 2 (usage or configuration)."""
    try:
        program.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except AuthzError as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(2)
