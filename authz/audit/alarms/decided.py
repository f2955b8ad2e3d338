"""A decision's record as the rules see it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Decided(NamedTuple):
    """One enforced decision. `at`: seconds since the epoch; `subject` and `token` are pseudonyms."""

    at: float
    ts: str
    id: str
    type: str
    allowed: bool
    reason: str
    subject: str | None
    token: str | None
    ip: str | None
    scopes: tuple[str, ...]
    missing: tuple[str, ...]
    roles: tuple[str, ...]
    caller: str
    route: str | None


def read_decided(fields: Mapping[str, Any]) -> Decided | None:
    """The decision in a record; None for any other record, for what nobody enforced, and for what cannot be read.

    Where a mere observer asked, everything passed whatever was decided: that is nobody's attempt at anything.
    """
    decision = fields.get("decision")
    if decision is None or "source" in fields or fields.get("enforced") is False:
        return None
    try:
        return Decided(
            datetime.fromisoformat(fields["ts"]).timestamp(),
            fields["ts"],
            fields["id"],
            fields["type"],
            decision == "allow",
            fields.get("reason", ""),
            fields.get("subject"),
            fields.get("token_id"),
            fields.get("ip"),
            tuple(fields.get("scopes", ())),
            tuple(fields.get("missing", ())),
            tuple(fields.get("roles", ())),
            fields.get("caller", ""),
            fields.get("route"),
        )
    except (KeyError, TypeError, ValueError):
        return None
