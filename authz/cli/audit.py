"""`authz audit`: is the ledger intact, and what does it hold."""

import click


@click.group()
def audit() -> None:
    """The ledger: verify it, search it, watch it."""
