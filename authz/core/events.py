"""The catalogue of event types, and the body of a decision's record."""

from typing import Any, Literal, NamedTuple

from msgspec import Struct

from authz.core.model import Limit, UnverifiedClaims

Category = Literal[
    "auth", "security", "user", "admin", "memory", "ai", "calendar", "care", "photos", "resource", "ws", "api",
    "system", "policy", "audit",
]  # fmt: skip
"""The first part of a type's name."""

Severity = Literal["info", "warning", "error", "critical"]


class EventType(NamedTuple):
    """One row of the catalogue.

    `required`: fields that every event of this type carries. `reportable`: callers may report it; everything that
    this service itself asserts is not.
    """

    category: Category
    severity: Severity
    required: tuple[str, ...] = ()
    reportable: bool = False


_DECISION = ("decision", "reason", "revision", "caller")
_OUTCOME = ("route", "method", "status")

EVENT_TYPES: dict[str, EventType] = {
    "auth.scope_granted": EventType("auth", "info", _DECISION),
    "auth.scope_denied": EventType("auth", "warning", _DECISION),
    "auth.rate_limited": EventType("auth", "warning", _DECISION),
    "auth.error": EventType("auth", "error", _DECISION),
    "auth.revoked": EventType("auth", "warning", ("reason", "revocation", "kind", "done", "by")),
    "security.failed_login": EventType("security", "warning", _DECISION),
    "security.suspicious_activity": EventType("security", "critical", ("rule",)),
    "admin.first_access": EventType("admin", "info", ("rule", "subject")),
    "admin.access": EventType("admin", "info", ("decision", "caller")),
    "admin.config_changed": EventType("admin", "warning", (), reportable=True),
    "admin.user_impersonated": EventType("admin", "warning", ("subject",), reportable=True),
    "auth.login": EventType("auth", "info", ("subject",), reportable=True),
    "auth.logout": EventType("auth", "info", ("subject",), reportable=True),
    "user.created": EventType("user", "info", ("subject",), reportable=True),
    "user.deleted": EventType("user", "warning", ("subject",), reportable=True),
    "user.profile_accessed": EventType("user", "info", ("subject",), reportable=True),
    "user.profile_changed": EventType("user", "info", ("subject",), reportable=True),
    "user.settings_accessed": EventType("user", "info", ("subject",), reportable=True),
    "user.settings_changed": EventType("user", "info", ("subject",), reportable=True),
    "user.privacy_accessed": EventType("user", "info", ("subject",), reportable=True),
    "user.privacy_changed": EventType("user", "info", ("subject",), reportable=True),
    "memory.accessed": EventType("memory", "info", ("subject",), reportable=True),
    "memory.modified": EventType("memory", "info", ("subject",), reportable=True),
    "memory.searched": EventType("memory", "info", ("subject",), reportable=True),
    "user.changed": EventType("user", "warning", ("subject",), reportable=True),
    "ai.chat": EventType("ai", "info", ("subject",), reportable=True),
    "ai.voice": EventType("ai", "info", ("subject",), reportable=True),
    "ai.personalization_changed": EventType("ai", "info", ("subject",), reportable=True),
    "calendar.accessed": EventType("calendar", "info", ("subject",), reportable=True),
    "calendar.modified": EventType("calendar", "info", ("subject",), reportable=True),
    "calendar.shared": EventType("calendar", "info", ("subject",), reportable=True),
    "care.accessed": EventType("care", "info", ("subject",), reportable=True),
    "photos.accessed": EventType("photos", "info", ("subject",), reportable=True),
    "photos.modified": EventType("photos", "info", ("subject",), reportable=True),
    "photos.shared": EventType("photos", "info", ("subject",), reportable=True),
    "resource.accessed": EventType("resource", "info", ("subject",), reportable=True),
    "resource.modified": EventType("resource", "info", ("subject",), reportable=True),
    "resource.shared": EventType("resource", "info", ("subject",), reportable=True),
    "ws.connect": EventType("ws", "info", ("caller",), reportable=True),
    "ws.disconnect": EventType("ws", "info", ("caller",), reportable=True),
    "ws.message_sent": EventType("ws", "info", ("caller",), reportable=True),
    "ws.error": EventType("ws", "error", ("caller",), reportable=True),
    "api.request": EventType("api", "info", _OUTCOME, reportable=True),
    "api.error": EventType("api", "error", _OUTCOME, reportable=True),
    "system.startup": EventType("system", "info", ("version", "revision")),
    "system.shutdown": EventType("system", "info", ("reason",)),
    "policy.activated": EventType("policy", "info", ("revision", "sha256")),
    "policy.rejected": EventType("policy", "error", ("reason",)),
    "policy.shadowed": EventType("policy", "info", ("revision", "compared", "different")),
    "audit.segment_open": EventType("audit", "info", ("format", "stream", "reason")),
    "audit.segment_close": EventType("audit", "info", ("records",)),
    "audit.clock_step": EventType("audit", "warning", ("step_seconds", "expected", "observed")),
    "audit.degraded": EventType("audit", "critical", ("until", "reason", "by")),
    "audit.gap": EventType("audit", "critical", ("from", "until", "lost", "decisions", "reason")),
    "audit.stream_begun": EventType("audit", "critical", ("successor", "after", "reason")),
    "audit.prune": EventType("audit", "warning", ("stream", "minimum_index", "reason")),
    "audit.archived": EventType("audit", "info", ("archive", "manifest_sha256")),
    "audit.hold_added": EventType("audit", "warning", ("hold", "reason")),
    "audit.hold_lifted": EventType("audit", "warning", ("hold", "reason")),
    "audit.erased": EventType("audit", "warning", ("erasure", "identities", "owned", "names")),
    "audit.pseudonyms_rotated": EventType("audit", "info", ("key_id", "previous")),
    "audit.pseudonym_key_destroyed": EventType("audit", "critical", ("key_id",)),
    "audit.rollup": EventType("audit", "info", ("streams",)),
    "audit.refused": EventType("audit", "critical", ("stream", "kind", "message")),
    "audit.verified": EventType("audit", "info", ("intact", "records", "issues")),
    "audit.damaged": EventType("audit", "critical", ("stream", "kind", "message")),
    "audit.key_rotated": EventType("audit", "warning", ("key_id",)),
}


class Encoded(Struct, frozen=True):
    """A body that is JSON already, in one line. `of`: one of its kind, equal in all but what `text` adds to it."""

    of: Struct
    text: bytes


class Event(Struct, frozen=True):
    """One event on its way into the ledger; the ledger adds `prev`, `seq` and `ts` in front.

    `body` is encoded as one JSON object, unless it is `Encoded` already. It must not hold a token, a raw user id or a
    raw parameter.
    """

    id: str
    type: str
    body: Struct | dict[str, Any]

    @property
    def stated(self) -> Struct | dict[str, Any]:
        """The body before it was encoded; where it is `Encoded`, one of its kind."""
        return self.body.of if isinstance(self.body, Encoded) else self.body


class ShownClaims(Struct, frozen=True, omit_defaults=True):
    """Of the verified claims that an issuer's settings let through, those about how somebody logged in, as they are.

    OpenID Connect Core section 2: `acr`, `amr`. Others may say who somebody is, and are not written down.
    """

    acr: str | None = None
    amr: tuple[str, ...] | None = None


class DecisionBody(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of a decision's record: all that is needed to evaluate the question again and to explain the answer.

    `subject` and hashed parameters are pseudonyms under one key, so that ownership can be replayed. `path` stands in
    for `route` where none matched, its unknown segments hashed. `resource` is set for types other than `route`.
    """

    decision: Literal["allow", "deny", "error"]
    reason: str
    operation: str | None = None
    subject: str | None = None
    subject_type: str | None = None
    subject_source: str | None = None
    issuer: str | None = None
    roles: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] | None = None
    scope_mode: str | None = None
    claims: ShownClaims | None = None
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    granted_by: dict[str, tuple[str, ...]] = {}
    action: str | None = None
    route: str | None = None
    params: dict[str, str] = {}
    path: str | None = None
    resource: dict[str, Any] | None = None
    host: str | None = None
    context: dict[str, Any] = {}
    revision: str
    engine: str
    dialect: str
    channel: str = "http"
    caller: str
    ip: str | None = None
    user_agent: str | None = None
    session_id: str | None = None
    token_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    batch: str | None = None
    limit: Limit | None = None
    retry_after_seconds: int | None = None
    enforced: bool = True
    unverified: UnverifiedClaims | None = None
