"""Settings of the alarms: each rule has its threshold, its window and its exceptions (docs/alarms.md)."""

from typing import Annotated

from msgspec import Meta, Struct

Threshold = Annotated[int, Meta(ge=0, le=1000, description="Raised at so many; 0 = the rule is off.")]
Window = Annotated[int, Meta(ge=1, le=3600, description="Counted over so many seconds.")]
Exceptions = Annotated[
    tuple[Annotated[str, Meta(pattern="^(subject|caller|role|scope|ip|route):.")], ...],
    Meta(description="Passed over: `subject:h1:...`, `caller:NAME`, `role:`, `scope:`, `ip:`, `route:`."),
]


class ManyDenials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms.many_denials]`: one subject is refused again and again."""

    threshold: Threshold = 20
    window_seconds: Window = 60
    exceptions: Exceptions = ()


class ScopeProbing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms.scope_probing]`: one subject is refused for one scope after another."""

    threshold: Threshold = 6
    window_seconds: Window = 300
    exceptions: Exceptions = ()


class TokenAddresses(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms.token_addresses]`: one token is used from many addresses."""

    threshold: Threshold = 4
    window_seconds: Window = 300
    exceptions: Exceptions = ()


class FirstAdminScope(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms.first_admin_scope]`: a subject uses an admin scope for the first time."""

    threshold: Annotated[int, Meta(ge=0, le=1, description="0 = the rule is off.")] = 1
    prefixes: Annotated[tuple[str, ...], Meta(description="What the names of admin scopes begin with.")] = ("admin:",)
    exceptions: Exceptions = ()


class NewAdmin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms.new_admin]`: a subject is let in on the admin listener for the first time. For information."""

    threshold: Annotated[int, Meta(ge=0, le=1, description="0 = the rule is off.")] = 1
    exceptions: Exceptions = ()


class AlarmSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.alarms]`."""

    enabled: Annotated[bool, Meta(description="Look for suspicious use, in the auditor's process.")] = True
    quiet_seconds: Annotated[
        int,
        Meta(ge=1, le=86_400, description="For so long an alarm is not raised again for the same subject."),
    ] = 900
    remembered_subjects: Annotated[
        int, Meta(ge=100, le=1_000_000, description="Subjects (or tokens) that each rule follows at a time.")
    ] = 10_000
    many_denials: Annotated[ManyDenials, Meta(description="Many denials of one subject.")] = ManyDenials()
    scope_probing: Annotated[ScopeProbing, Meta(description="Probing of many scopes.")] = ScopeProbing()
    token_addresses: Annotated[TokenAddresses, Meta(description="One token from many addresses.")] = TokenAddresses()
    first_admin_scope: Annotated[FirstAdminScope, Meta(description="First use of an admin scope.")] = FirstAdminScope()
    new_admin: Annotated[NewAdmin, Meta(description="First access of a new admin.")] = NewAdmin()
