"""All rules over one stream of decisions: what is passed over, what is said, and what was said already."""

from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, Final

from msgspec import Struct

from authz.audit.alarms.decided import Decided, read_decided
from authz.audit.alarms.rules import RULES, Found, NewAdmin, Rule
from authz.config import AlarmSettings
from authz.core import Event

_MOST_QUIET: Final = 20_000

_MEMBERS: Final[dict[str, Callable[[Decided], tuple[str | None, ...]]]] = {
    "subject": lambda decided: (decided.subject,),
    "caller": lambda decided: (decided.caller,),
    "role": lambda decided: decided.roles,
    "scope": lambda decided: (*decided.scopes, *decided.missing),
    "ip": lambda decided: (decided.ip,),
    "route": lambda decided: (decided.route,),
}
"""What an exception can name: the members of a decision that it is compared with."""


class Suspicion(Struct, frozen=True):
    """An alarm that was raised. `at`: seconds since the epoch, the time of the decision that raised it."""

    id: str
    rule: str
    key: str
    at: float
    body: dict[str, Any]

    @property
    def event(self) -> Event:
        """Its record."""
        event_type = "admin.first_access" if self.rule == NewAdmin.name else "security.suspicious_activity"
        return Event(self.id, event_type, self.body)


class Watch:
    """Feeds decisions to the rules. `since`: before that it only learns (seconds since the epoch).

    An alarm is not raised again within `quiet_seconds` for the same rule and key: in either direction of time, because
    what was seen before a restart is looked at again after it.
    """

    def __init__(self, settings: AlarmSettings, since: float = 0.0) -> None:
        self.rules: tuple[Any, ...] = tuple(
            rule(settings) for rule in RULES if getattr(settings, rule.name).threshold > 0
        )
        self.quiet: dict[tuple[str, str], float] = {}
        """When which alarm was raised last."""
        self._quiet_seconds = settings.quiet_seconds
        self._since = since
        self._exceptions = {rule.name: _exceptions(getattr(settings, rule.name).exceptions) for rule in RULES}
        self._any_exceptions = any(self._exceptions.values())

    def see(self, fields: Mapping[str, Any]) -> list[Suspicion]:
        """Look at one record."""
        decided = read_decided(fields)
        if decided is None:
            return []
        if self._any_exceptions:
            rules = tuple(rule for rule in self.rules if not self._excepted(rule, decided))
        else:
            rules = self.rules
        found = [(rule.name, each) for rule in rules for each in rule.see(decided)]
        return [self._raised(name, each, decided) for name, each in found if self._is_new(name, each.key, decided.at)]

    def _excepted(self, rule: Rule, decided: Decided) -> bool:
        return any(value in _MEMBERS[member](decided) for member, value in self._exceptions[rule.name])

    def _is_new(self, rule: str, key: str, at: float) -> bool:
        if at < self._since:
            return False
        before = self.quiet.get((rule, key))
        if before is not None and abs(at - before) < self._quiet_seconds:
            return False
        self.quiet.pop((rule, key), None)
        self.quiet[rule, key] = at
        if len(self.quiet) > _MOST_QUIET:
            del self.quiet[next(iter(self.quiet))]
        return True

    def _raised(self, rule: str, found: Found, decided: Decided) -> Suspicion:
        body = {"rule": rule, **found.evidence, "decided_at": decided.ts}
        return Suspicion(token_hex(16), rule, found.key, decided.at, body)


def _exceptions(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((member, value) for member, _, value in (text.partition(":") for text in texts))
