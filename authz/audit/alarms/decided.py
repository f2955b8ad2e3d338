"""A decision's record as the rules see it."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct


class Decided(Struct):
    """One enforced decision. `at`: when, in seconds since the epoch; `subject` and `token_id` are pseudonyms."""

    ts: str
    id: str
    type: str
    decision: str
    reason: str = ""
    subject: str | None = None
    token_id: str | None = None
    ip: str | None = None
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    caller: str = ""
    route: str | None = None
    at: float = 0.0

    @property
    def allowed(self) -> bool:
        """Whether it was an allow."""
        return self.decision == "allow"


def read_decided(fields: Mapping[str, Any]) -> Decided | None:
    """The decision in a record; None for any other record, for what nobody enforced, and for what cannot be read.

    Where a mere observer asked, everything passed whatever was decided: that is nobody's attempt at anything.
    """
    if "decision" not in fields or "source" in fields or fields.get("enforced") is False:
        return None
    try:
        decided = msgspec.convert(fields, Decided)
        decided.at = _second(decided.ts[:19]) + float(decided.ts[19:26])
    except (msgspec.ValidationError, ValueError):
        return None
    return decided


@lru_cache(64)
def _second(text: str) -> float:
    """A whole second as records write it. Raises ValueError."""
    return datetime.fromisoformat(f"{text}+00:00").timestamp()
