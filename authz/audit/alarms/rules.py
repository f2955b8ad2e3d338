"""The rules: each looks at one decision after the other and says when something is out of the ordinary."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final, NamedTuple, Protocol

from authz.audit.alarms.decided import Decided
from authz.audit.alarms.windows import Firsts, Seen, Windows
from authz.config import AlarmSettings
from authz.core import Kind, kind_of

_MOST_NAMED: Final = 10
"""Decisions and scopes that an alarm names: enough to begin with."""


class Found(NamedTuple):
    """What a rule found. `key`: whom it is about, so that it is not said again and again."""

    key: str
    evidence: dict[str, Any]


class Rule(Protocol):
    """One rule, with what it remembers. It is pure: its time is that of the records."""

    name: str

    def see(self, decided: Decided) -> Sequence[Found]:
        """Look at one decision."""
        ...


class ManyDenials:
    """One subject is refused again and again."""

    name = "many_denials"

    def __init__(self, settings: AlarmSettings) -> None:
        rule = settings.many_denials
        self.memory = Windows(rule.threshold, rule.window_seconds, settings.remembered_subjects)

    def see(self, decided: Decided) -> Sequence[Found]:
        """A denial counts where permission was refused: not for its rate, nor where nobody is known."""
        if decided.allowed or decided.subject is None or kind_of(decided.reason) is not Kind.FORBIDDEN:
            return ()
        found = self.memory.add(decided.subject, decided.id, Seen(decided.at, decided.id))
        if found is None:
            return ()
        return (Found(decided.subject, {"subject": decided.subject, **_counted(found, self.memory)}),)


class ScopeProbing:
    """One subject is refused for one scope after another."""

    name = "scope_probing"

    def __init__(self, settings: AlarmSettings) -> None:
        rule = settings.scope_probing
        self.memory = Windows(rule.threshold, rule.window_seconds, settings.remembered_subjects)

    def see(self, decided: Decided) -> Sequence[Found]:
        """The scopes that were missing count, each once."""
        if decided.allowed or decided.subject is None:
            return ()
        for scope in decided.missing:
            found = self.memory.add(decided.subject, scope, Seen(decided.at, decided.id))
            if found is not None:
                evidence = {**_counted(found, self.memory), "scopes": list(found)[:_MOST_NAMED]}
                return (Found(decided.subject, {"subject": decided.subject, **evidence}),)
        return ()


class TokenAddresses:
    """One token is used from many addresses: it was passed on, or stolen."""

    name = "token_addresses"

    def __init__(self, settings: AlarmSettings) -> None:
        rule = settings.token_addresses
        self.memory = Windows(rule.threshold, rule.window_seconds, settings.remembered_subjects)

    def see(self, decided: Decided) -> Sequence[Found]:
        """Allowed or not: whoever holds the token is there. Of IPv6 the network counts, which is one household."""
        if decided.token_id is None or not decided.ip:
            return ()
        found = self.memory.add(decided.token_id, _household(decided.ip), Seen(decided.at, decided.id))
        if found is None:
            return ()
        who = {"subject": decided.subject, "token_id": decided.token_id}
        return (Found(decided.token_id, {**who, **_counted(found, self.memory)}),)


class FirstAdminScope:
    """A subject is granted something by an admin scope that it has never used before."""

    name = "first_admin_scope"

    def __init__(self, settings: AlarmSettings) -> None:
        self.memory = Firsts(settings.remembered_subjects)
        self._prefixes = settings.first_admin_scope.prefixes

    def see(self, decided: Decided) -> Sequence[Found]:
        """The admin listener is not looked at: its first access is NewAdmin's."""
        if not decided.allowed or decided.subject is None or decided.type == "admin.access":
            return ()
        used = [scope for scope in decided.scopes if scope.startswith(self._prefixes)]
        new = [scope for scope in used if self.memory.first(f"{decided.subject} {scope}")]
        if not new:
            return ()
        key = f"{decided.subject} {' '.join(new)}"
        return (Found(key, {"subject": decided.subject, "scopes": new, "decisions": [decided.id]}),)


class NewAdmin:
    """A subject is let in on the admin listener for the first time."""

    name = "new_admin"

    def __init__(self, settings: AlarmSettings) -> None:
        self.memory = Firsts(settings.remembered_subjects)

    def see(self, decided: Decided) -> Sequence[Found]:
        """Break-glass has no subject, and an alert of its own."""
        if not decided.allowed or decided.subject is None or decided.type != "admin.access":
            return ()
        if not self.memory.first(decided.subject):
            return ()
        evidence = {"subject": decided.subject, "scopes": list(decided.scopes), "decisions": [decided.id]}
        return (Found(decided.subject, evidence),)


RULES: Final = (ManyDenials, ScopeProbing, TokenAddresses, FirstAdminScope, NewAdmin)
RULE_NAMES: Final = tuple(rule.name for rule in RULES)


def _counted(found: Mapping[str, Seen], windows: Windows) -> dict[str, Any]:
    decisions = list(dict.fromkeys(seen.id for seen in found.values()))
    return {
        "count": len(found),
        "threshold": windows.threshold,
        "window_seconds": int(windows.window_seconds),
        "decisions": decisions[-_MOST_NAMED:],
    }


@lru_cache(8192)
def _household(text: str) -> str:
    """An address as one place that somebody is at; what is no address as it stands."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return text
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address.packed, 64), strict=False))
