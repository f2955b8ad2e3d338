"""What a policy may see of a recorded decision, without who it was about: many decisions have the same."""

from typing import Any, Final, Literal

from msgspec import Struct

SELF: Final = "{=}"
"""In the path of a profile: a segment that is the subject's own ID."""
UNKNOWN: Final = "{}"
"""In the path of a profile: a segment that no route spelt out."""

_PSEUDONYM: Final = "h1:"


class Recorded(Struct, gc=False, kw_only=True):
    """The fields of a decision's record (docs/ledger-format.md) that matter here.

    `revision` is empty where no policy was asked: admin access by break-glass.
    """

    ts: str
    type: str
    decision: Literal["allow", "deny", "error"]
    reason: str
    revision: str = ""
    subject: str | None = None
    subject_type: str | None = None
    subject_source: str | None = None
    issuer: str | None = None
    roles: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] | None = None
    scope_mode: str | None = None
    claims: dict[str, Any] = {}
    scopes: tuple[str, ...] = ()
    granted_by: dict[str, tuple[str, ...]] = {}
    action: str | None = None
    route: str | None = None
    params: dict[str, str] = {}
    path: str | None = None
    resource: dict[str, Any] | None = None
    host: str | None = None
    context: dict[str, Any] = {}
    ip: str | None = None
    batch: str | None = None
    enforced: bool = True


Ownership = Literal["own", "other", "unknown"]
"""Whether a path parameter is the subject's own ID; unknown where one side of the comparison is no pseudonym."""


class Profile(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is the same in all decisions that one policy has to answer alike, and what was answered.

    `params`: the recorded parameters. `path`: of a request that matched no route, with `{}` for what is not known of
    it. `resource`: type and ID where it was no route; the ID is None where it was recorded as a pseudonym.
    `address`: one that stands for all that the policy cannot tell from it. `moment`: the same of times, a number.
    """

    decision: Literal["allow", "deny", "error"]
    reason: str
    revision: str
    enforced: bool = True
    subject_type: str | None = None
    subject_source: str | None = None
    nameless: bool = False
    issuer: str | None = None
    roles: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] | None = None
    scope_mode: str | None = None
    acr: str | None = None
    amr: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    granted_by: tuple[tuple[str, tuple[str, ...]], ...] = ()
    action: str | None = None
    route: str | None = None
    params: tuple[tuple[str, Ownership], ...] = ()
    path: str | None = None
    resource: tuple[str, str | None] | None = None
    host: str | None = None
    address: str | None = None
    moment: int = 0

    @property
    def where(self) -> str:
        """What was asked for, in the words of a report."""
        if self.resource is not None:
            kind, name = self.resource
            return f"{kind} {name or UNKNOWN}"
        return f"{self.action} {self.host or ''}{self.route or self.path or ''}"


def profile_of(record: Recorded, address: str | None = None, moment: int = 0) -> Profile:
    """The profile of one decision."""
    amr = record.claims.get("amr")
    acr = record.claims.get("acr")
    return Profile(
        decision=record.decision,
        reason=record.reason,
        revision=record.revision,
        enforced=record.enforced,
        subject_type=record.subject_type,
        subject_source=record.subject_source,
        nameless=record.subject is None,
        issuer=record.issuer,
        roles=record.roles,
        token_scopes=record.token_scopes,
        scope_mode=record.scope_mode,
        acr=acr if isinstance(acr, str) else None,
        amr=tuple(amr) if isinstance(amr, list) else None,
        scopes=record.scopes,
        granted_by=tuple(record.granted_by.items()),
        action=record.action,
        route=record.route,
        params=tuple((name, ownership(record.subject, value)) for name, value in record.params.items()),
        path=None if record.path is None else path_pattern(record.path, record.subject),
        resource=None if record.resource is None else _resource(record.resource),
        host=record.host,
        address=address,
        moment=moment,
    )


def ownership(subject: str | None, value: str) -> Ownership:
    """Whether two recorded values are of the same ID: pseudonyms under one key are equal if and only if the IDs are."""
    if subject is None:
        return "other"
    if value == subject and value.startswith(_PSEUDONYM):
        return "own"
    comparable = value.startswith(_PSEUDONYM) and _key(value) == _key(subject) and subject.startswith(_PSEUDONYM)
    return "other" if comparable else "unknown"


def _key(pseudonym: str) -> str:
    return pseudonym.rpartition(":")[0]


def path_pattern(path: str, subject: str | None) -> str:
    """A recorded path without what is not known of it."""
    return "/".join(_segment(each, subject) for each in path.split("/"))


def _segment(segment: str, subject: str | None) -> str:
    if not segment.startswith(_PSEUDONYM):
        return segment
    return SELF if segment == subject else UNKNOWN


def _resource(stated: dict[str, Any]) -> tuple[str, str | None]:
    name = stated.get("id")
    clear = isinstance(name, str) and not name.startswith(_PSEUDONYM)
    return str(stated.get("type")), name if clear else None
