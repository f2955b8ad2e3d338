"""Times as people give them: absolute, or so long ago."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from authz.core import BadRequestError

_RELATIVE: Final = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(name: str, value: str | datetime, now: datetime | None = None) -> str:
    """A time as records write it, so that text compares as time.

    `value` is RFC 3339, a date, or `90s`, `15m`, `2h`, `7d`, `4w` before `now`; without a zone it is UTC. Raises
    BadRequestError that names the parameter `name`.
    """
    try:
        when = value if isinstance(value, datetime) else _parse(value, now or datetime.now(UTC))
        in_utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequestError(
            f"{name}: {value!r} is no time; write 2026-11-23T08:00:00Z, 2026-11-23, or 90s, 15m, 2h, 7d, 4w"
        ) from None
    return in_utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def duration(name: str, value: str) -> float:
    """`90s`, `15m`, `2h`, `7d` or `4w` in seconds. Raises BadRequestError that names the parameter `name`."""
    relative = _RELATIVE.fullmatch(value)
    if relative is None:
        raise BadRequestError(f"{name}: {value!r} is no duration; write 90s, 15m, 2h, 7d or 4w")
    return timedelta(**{_UNITS[relative[2]]: int(relative[1])}).total_seconds()


def _parse(value: str, now: datetime) -> datetime:
    relative = _RELATIVE.fullmatch(value)
    if relative:
        return now - timedelta(**{_UNITS[relative[2]]: int(relative[1])})
    return datetime.fromisoformat(value)
