"""Decisions that differ in everything that can be asked for, and questions with what each has to give."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authz.core import Event

COUNT: Final = 60
"""How many the tables below are about, recorded one a second from 2027-01-15T08:00:01Z on."""


def decision(number: int) -> Event:
    """A decision that differs from its neighbours in every field that can be asked for."""
    allow = number % 2 == 0
    body = {
        "decision": "allow" if allow else "deny",
        "reason": "scope_granted" if allow else "scope_missing",
        "operation": f"memory.{'accessed' if number % 3 else 'modified'}",
        "subject": f"h1:k1:subject{number % 5}",
        "roles": ["user_basic", f"role{number % 4}"],
        "scopes": [f"memory:read{number % 3}"],
        "missing": [] if allow else ["memory:write"],
        "action": "GET" if number % 2 else "POST",
        "route": f"/memory/{{id}}/{number % 6}",
        "params": {"id": f"h1:k1:item{number}", "kind": "a"},
        "revision": "r1",
        "caller": "edge",
        "ip": f"10.0.0.{number % 7}",
        "session_id": f"s{number % 3}",
        "request_id": f"q{number}",
    }
    return Event(f"d{number}", "auth.scope_granted" if allow else "auth.scope_denied", body)


def matching(condition: str) -> list[int]:
    """The numbers for which the condition on `n` holds, newest first."""
    return [number for number in reversed(range(COUNT)) if eval(condition, {"n": number})]


QUESTIONS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"type": "auth.scope_denied"}, "n % 2"),
    ({"type": "memory.modified"}, "n % 3 == 0"),
    ({"decision": "allow"}, "n % 2 == 0"),
    ({"reason": "scope_missing"}, "n % 2"),
    ({"subject": "h1:k1:subject3"}, "n % 5 == 3"),
    ({"scope": "memory:read1"}, "n % 3 == 1"),
    ({"scope": "memory:write"}, "n % 2"),
    ({"role": "role2"}, "n % 4 == 2"),
    ({"route": "/memory/{id}/5"}, "n % 6 == 5"),
    ({"method": "get"}, "n % 2"),
    ({"ip": "10.0.0.6"}, "n % 7 == 6"),
    ({"session_id": "s1"}, "n % 3 == 1"),
    ({"request_id": "q17"}, "n == 17"),
    ({"id": "d23"}, "n == 23"),
    ({"id": "d23", "decision": "allow"}, "False"),
    ({"param_id": "h1:k1:item9"}, "n == 9"),
    ({"params": {"id": "h1:k1:item9", "kind": "a"}}, "n == 9"),
    ({"params": {"kind": "b"}}, "False"),
    ({"since": "2027-01-15T08:00:51Z"}, "n >= 50"),
    ({"until": "2027-01-15T08:00:51Z"}, "n < 50"),
    (
        {
            "since": datetime(2027, 1, 15, 9, 0, 20, tzinfo=UTC) - timedelta(hours=1),
            "until": "2027-01-15T10:00:30+02:00",
        },
        "19 <= n < 29",
    ),
    ({"decision": "deny", "role": "role1", "subject": None}, "n % 4 == 1"),
    ({"reason": "scope"}, "False"),
]
