"""A gap: what went out without a durable record, counted for the one record that says so afterwards."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from authz.core import Event


@dataclass(slots=True)
class Gap:
    """Counts what was let go unrecorded, from the first to the last.

    Some of it may be in the ledger all the same: a record of which it is not known whether it is durable is counted
    here too. `reason`: why the first one could not be recorded; `allowed_by`: who let it go.
    """

    lost: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    since: str = ""
    until: str = ""
    first_id: str = ""
    last_id: str = ""
    reason: str = ""
    allowed_by: str = ""

    def add(self, event: Event, at_seconds: float, reason: str, allowed_by: str) -> str:
        """One more. Returns what was decided: `allow`, `deny`, `error`, or `none` for what is no decision."""
        if not self.lost:
            self.since, self.first_id = written(at_seconds), event.id
            self.reason, self.allowed_by = reason, allowed_by
        self.until, self.last_id = written(at_seconds), event.id
        decision = decision_of(event)
        self.lost += 1
        self.decisions[decision] += 1
        self.types[event.type] += 1
        return decision

    def add_later(self, later: "Gap") -> None:
        """All that another one counted after this one."""
        if later.lost:
            self.lost += later.lost
            self.decisions += later.decisions
            self.types += later.types
            self.until, self.last_id = later.until, later.last_id

    def body(self) -> dict[str, Any]:
        """The body of `audit.gap`."""
        return {
            "from": self.since,
            "until": self.until,
            "lost": self.lost,
            "decisions": {name: self.decisions[name] for name in ("allow", "deny", "error", "none")},
            "types": dict(sorted(self.types.items())),
            "first_id": self.first_id,
            "last_id": self.last_id,
            "reason": self.reason,
            "allowed_by": self.allowed_by,
        }

    def __str__(self) -> str:
        return f"{self.lost} events since {self.since} went out unrecorded"


def decision_of(event: Event) -> str:
    """What the event decides; `none` for what is no decision."""
    body = event.stated
    found = body.get("decision") if isinstance(body, dict) else getattr(body, "decision", None)
    return found if found in ("allow", "deny", "error") else "none"


def written(seconds: float) -> str:
    """A time as records write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
