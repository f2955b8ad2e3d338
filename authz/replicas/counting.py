"""What occurs most among events."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from authz.core import BadRequestError

FIELDS: Final = (
    "reason", "route", "scope", "role", "type", "decision", "subject", "method", "ip", "caller", "instance",
)  # fmt: skip
"""What can be counted by; as in a search, `scope` is any that was needed, granted or missing."""

_NONE: Final = "-"


class Count(NamedTuple):
    """So many events had these values, in the order in which they were asked for."""

    values: tuple[str, ...]
    events: int


def top(events: Iterable[dict[str, Any]], by: Sequence[str], limit: int) -> list[Count]:
    """The combinations of values that most events have. An event with several scopes counts for each of them.

    Raises BadRequestError for a field that nothing is counted by.
    """
    for name in by:
        if name not in FIELDS:
            raise BadRequestError(f"by: {name!r} is not counted by; there are {', '.join(FIELDS)}")
    counts: Counter[tuple[str, ...]] = Counter()
    for event in events:
        counts.update(_combinations(event, by))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Count(values, count) for values, count in ordered[:limit]]


def _combinations(event: dict[str, Any], by: Sequence[str]) -> Iterator[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in by:
        values = _values(event, name)
        found = [(*begun, value) for begun in found for value in values]
    yield from found


def _values(event: dict[str, Any], name: str) -> list[str]:
    if name == "scope":
        listed = [*event.get("scopes", ()), *event.get("missing", ()), *filter(None, [event.get("scope")])]
        return sorted(set(map(str, listed))) or [_NONE]
    if name == "role":
        return sorted(set(map(str, event.get("roles", ())))) or [_NONE]
    value = event.get("action") or event.get("method") if name == "method" else event.get(name)
    return [_NONE if value is None else str(value)]
