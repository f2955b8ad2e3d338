"""`authz audit`: is the ledger intact, and what does it hold."""

from typing import Final

import click

from authz.cli.commands import Commands

_PLACES: Final = {
    "verify": "authz.cli.audit_verify",
    "events": "authz.cli.audit_events",
    "tail": "authz.cli.audit_tail",
    "top": "authz.cli.audit_top",
    "timeline": "authz.cli.audit_timeline",
    "export": "authz.cli.audit_export",
    "erase": "authz.cli.audit_erase",
    "alarms": "authz.cli.audit_alarms",
    "prove": "authz.cli.audit_evidence",
    "verify-proof": "authz.cli.audit_evidence",
    "evidence": "authz.cli.audit_evidence",
    "verify-evidence": "authz.cli.audit_evidence",
    "sign": "authz.cli.audit_sign",
    "witness": "authz.cli.audit_witness",
    "degrade": "authz.cli.audit_rules",
    "new-stream": "authz.cli.audit_rules",
    "hold": "authz.cli.audit_hold",
    "archive": "authz.cli.audit_retention",
    "prune": "authz.cli.audit_retention",
}


@click.group(cls=Commands, places=_PLACES)
def audit() -> None:
    """The ledger: verify it, search it, watch it."""
