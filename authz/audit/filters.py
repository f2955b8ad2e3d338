"""The filters of a search: their names, what each compares, and how a line is passed over without parsing it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.moment import moment
from authz.core import BadRequestError, coarse_address

Pseudonyms = Callable[[str], Iterable[str]]
"""All pseudonyms a clear value may have been recorded under, one for each live key."""

PARAM: Final = "param."
"""What the name of a route parameter's test begins with."""

_Matches = Callable[[dict[str, Any], str], bool]


def _equal(*fields: str) -> _Matches:
    return lambda event, value: any(event.get(field) == value for field in fields)


def _among(*fields: str) -> _Matches:
    """The field is the value, or a list that holds it."""

    def matches(event: dict[str, Any], value: str) -> bool:
        found = (event.get(field) for field in fields)
        return any(value in each if isinstance(each, list) else value == each for each in found)

    return matches


_FIELDS: Final[dict[str, _Matches]] = {
    "type": _equal("type", "operation"),
    "decision": _equal("decision"),
    "reason": _equal("reason"),
    "subject": _equal("subject"),
    "scope": _among("scopes", "missing", "scope"),
    "role": _among("roles"),
    "route": _equal("route"),
    "method": _equal("action", "method"),
    "request_id": _equal("request_id"),
    "session_id": _equal("session_id"),
    "ip": _equal("ip"),
    "id": _equal("id"),
}

FILTER_NAMES: Final = (*_FIELDS, "since", "until", "param_NAME")


class Test(NamedTuple):
    """One condition: the event matches one of the values. `needles`: how the values look in a raw line.

    `name`: of the filter; that of a route parameter is `param.NAME`.
    """

    name: str
    matches: _Matches
    values: tuple[str, ...]
    needles: tuple[bytes, ...]

    def passes(self, event: dict[str, Any]) -> bool:
        """Whether the parsed event meets the condition."""
        return any(self.matches(event, value) for value in self.values)

    def may_pass(self, line: bytes) -> bool:
        """Whether parsing the line is worth it."""
        return any(needle in line for needle in self.needles)


class Filter(NamedTuple):
    """All conditions of a search. `since` <= time < `until`, as records write time."""

    tests: tuple[Test, ...] = ()
    since: str = ""
    until: str = "~"

    def may_pass(self, line: bytes) -> bool:
        """Whether the raw line can hold an event that passes."""
        return all(test.may_pass(line) for test in self.tests)

    def passes(self, event: dict[str, Any]) -> bool:
        """Whether the event meets every condition."""
        return self.since <= event["ts"] < self.until and all(test.passes(event) for test in self.tests)


def read_filter(
    filters: Mapping[str, Any], params: Mapping[str, str] | None = None, pseudonyms: Pseudonyms | None = None
) -> Filter:
    """The filter that these names and values describe; None as a value means no such filter.

    `subject` may be a pseudonym, or a clear id if `pseudonyms` can turn it into one; route parameters and
    `session_id` match as they are and under their pseudonyms. Raises BadRequestError that names the filter.
    """
    tests: list[Test] = []
    times: dict[str, str] = {}
    for name, value in filters.items():
        if value is None:
            continue
        if name in ("since", "until"):
            times[name] = moment(name, value)
        elif name in _FIELDS:
            tests.append(_test(name, _FIELDS[name], _values(name, _text(name, value), pseudonyms)))
        elif name.startswith("param_"):
            tests.append(_parameter(name.removeprefix("param_"), _text(name, value), pseudonyms))
        else:
            raise BadRequestError(f"{name}: is not a filter; there are {', '.join(FILTER_NAMES)}")
    for name, value in (params or {}).items():
        tests.append(_parameter(name, _text(f"param.{name}", value), pseudonyms))
    return Filter(tuple(tests), **times)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"{name}: must be a text that is not empty")
    return value


def _values(name: str, value: str, pseudonyms: Pseudonyms | None) -> tuple[str, ...]:
    if name == "subject" and not value.startswith("h1:"):
        if pseudonyms is None:
            raise BadRequestError("subject: a clear id needs the pseudonym key; without it give the pseudonym, h1:...")
        return tuple(pseudonyms(value))
    if name == "session_id":
        return _disguised(value, pseudonyms)
    if name == "ip":
        # Records may hold the network instead (`audit.fields`).
        return tuple(dict.fromkeys((value, coarse_address(value) or value)))
    return (value.upper(), value) if name == "method" else (value,)


def _disguised(value: str, pseudonyms: Pseudonyms | None) -> tuple[str, ...]:
    """The value itself and every pseudonym it may have been recorded under."""
    known = () if pseudonyms is None or value.startswith("h1:") else tuple(pseudonyms(value))
    return (value, *known)


def _parameter(name: str, value: str, pseudonyms: Pseudonyms | None) -> Test:
    def matches(event: dict[str, Any], wanted: str) -> bool:
        params = event.get("params")
        return isinstance(params, dict) and params.get(name) == wanted

    return _test(f"{PARAM}{name}", matches, _disguised(value, pseudonyms))


def _test(name: str, matches: _Matches, values: tuple[str, ...]) -> Test:
    """Strings in a line were written by the same encoder, so that a value looks the same in both."""
    try:
        return Test(name, matches, values, tuple(msgspec.json.encode(value) for value in values))
    except UnicodeEncodeError:
        raise BadRequestError(f"{values[0]!r}: is not valid text") from None
