"""What happens before an alarm is raised, one scenario for each rule, as the records of decisions."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

from authz.config import AlarmSettings, read

START = 1_763_884_800.0
"""2025-11-23T08:00:00Z."""

_ids = count(1)

Records = list[dict[str, Any]]


def written(at: float) -> str:
    """A time as records write it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds(fields: dict[str, Any]) -> float:
    """When a record says it was made."""
    return datetime.fromisoformat(fields["ts"]).timestamp()


def configured(**values: Any) -> AlarmSettings:
    """Settings with `rule__key=value`."""
    flags = {f"audit.alarms.{name.replace('__', '.')}": each for name, each in values.items()}
    return read(None, {}, flags).audit.alarms


def decision(at: float, subject: str | None = "h1:k:alice", **more: Any) -> dict[str, Any]:
    """The record of an allow, `at` seconds after the start, with other fields as given."""
    fields = {
        "prev": "0" * 64,
        "seq": next(_ids),
        "id": f"d-{next(_ids)}",
        "ts": written(START + at),
        "type": "auth.scope_granted",
        "decision": "allow",
        "reason": "scope_granted",
        "subject": subject,
        "scopes": ["memory:read"],
        "revision": "r",
        "caller": "gate",
        "ip": "192.0.2.1",
        "token_id": f"h1:k:token-of-{subject}",
    }
    return fields | more


def denial(at: float, scope: str = "memory:write", **more: Any) -> dict[str, Any]:
    """The record of a denial for want of a scope."""
    denied = {"type": "auth.scope_denied", "decision": "deny", "reason": "scope_missing", "scopes": [scope]}
    return decision(at, **{**denied, "missing": [scope], **more})


def admin_access(at: float, **more: Any) -> dict[str, Any]:
    """The record of an access on the admin listener."""
    return decision(at, type="admin.access", **{"scopes": ["admin:audit:read"], "dialect": "admin", **more})


def many_denials(size: int = 20) -> Records:
    """One subject, refused for the same scope again and again."""
    return [denial(at) for at in range(size)]


def scope_probing(size: int = 6) -> Records:
    """One subject, refused for one scope after another."""
    return [denial(40.0 * at, f"photos:{at}") for at in range(size)]


def token_addresses(size: int = 4) -> Records:
    """One token, from one address after another."""
    return [decision(60.0 * at, ip=f"192.0.2.{at}") for at in range(size)]


def first_admin_scope() -> Records:
    """A subject that is granted something by an admin scope."""
    return [decision(1, scopes=["admin:users:write"])]


def new_admin() -> Records:
    """A subject that is let in on the admin listener."""
    return [admin_access(1)]


SCENARIOS: dict[str, Callable[[], Records]] = {
    "many_denials": many_denials,
    "scope_probing": scope_probing,
    "token_addresses": token_addresses,
    "first_admin_scope": first_admin_scope,
    "new_admin": new_admin,
}


def others() -> Iterator[dict[str, Any]]:
    """What goes on at any time and is nothing to worry about."""
    for at in range(300):
        subject = f"h1:k:user-{at % 40}"
        yield decision(at, subject, ip=f"198.51.100.{at % 40}")
        if at % 20 == 0:
            yield denial(at, subject=subject, token_id=f"h1:k:token-of-{subject}")
