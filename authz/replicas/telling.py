"""An event in words: why it was decided so, and how long after the one before."""

from datetime import datetime
from typing import Any


def reason_of(event: dict[str, Any]) -> str:
    """The reason, with what it rests on: the scopes that were granted and by which roles, or those that are missing."""
    reason = str(event.get("reason") or event["type"])
    if missing := event.get("missing"):
        return f"{reason}: lacks {', '.join(map(str, missing))}"
    granted = event.get("granted_by")
    if isinstance(granted, dict) and granted:
        by = (f"{scope} by {', '.join(map(str, roles))}" for scope, roles in granted.items())
        return f"{reason}: {'; '.join(by)}"
    scopes = event.get("scopes") or ()
    return f"{reason}: {', '.join(map(str, scopes))}" if scopes else reason


def since_before(event: dict[str, Any], before: dict[str, Any] | None) -> str:
    """`+0.412s`, `+3m`, `+2h`, `+5d`; nothing for the first one."""
    if before is None:
        return ""
    seconds = (datetime.fromisoformat(event["ts"]) - datetime.fromisoformat(before["ts"])).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"+{seconds / size:.0f}{unit}"
    return f"+{seconds:.3f}s"
