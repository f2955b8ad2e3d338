"""The nouns: who asks, what for, and what was answered (AuthZEN 1.0 section 5 words). All frozen."""

from typing import Any, Literal

from msgspec import Struct

from authz.core.reasons import Kind, kind_of

ScopeMode = Literal["restrict", "grant", "ignore"]
"""What a token's scopes do to its roles: cap them, stand in their place, or nothing."""


class BearerToken:
    """A token as it came in. It shows nothing of itself in logs or tracebacks; `reveal` is for the verifier."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token's text."""
        return self._value

    def __repr__(self) -> str:
        return "BearerToken(...)"


class Entity(Struct, frozen=True):
    """A subject or resource as a caller states it (AuthZEN 1.0 sections 5.1, 5.2). Nothing in it is believed yet."""

    type: str
    id: str
    properties: dict[str, Any] = {}


class Action(Struct, frozen=True):
    """What the subject wants to do (AuthZEN 1.0 section 5.3); for type `route` the name is the HTTP method."""

    name: str
    properties: dict[str, Any] = {}


class Caller(Struct, frozen=True):
    """Who put the question: an enforcement point, not the subject.

    `observes`: it lets everything pass, and its decisions are recorded as not enforced. `trusted_hops`: how many
    proxies of ours add themselves to X-Forwarded-For. `sets_request_id`: no client has a say in its X-Request-ID.
    `token_cookie`, `token_subprotocol`: where else than in `Authorization` its clients' tokens may be.
    """

    name: str
    trusted_to_assert: bool = False
    observes: bool = False
    trusted_hops: int = 1
    sets_request_id: bool = False
    token_cookie: str | None = None
    token_subprotocol: str | None = None


class AccessRequest(Struct, frozen=True, kw_only=True):
    """One question, in any dialect.

    `resource.type == "route"`: `resource.id` is the raw request target, `action.name` the method, `host` the raw
    Host. `request_id` is echoed as it came; `context` is what the caller adds, unverified. `within_seconds`: how long
    the caller waits for the answer, if it says so.
    """

    caller: Caller
    dialect: str
    action: Action
    resource: Entity
    subject: Entity | None = None
    token: BearerToken | None = None
    host: str | None = None
    context: dict[str, Any] = {}
    channel: str = "http"
    request_id: str | None = None
    trace_id: str | None = None
    trace_sampled: bool = False
    session_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    within_seconds: float | None = None


class Subject(Struct, frozen=True, kw_only=True):
    """Who the question is about, after verification or by a trusted caller's word.

    `scopes` is None when none were stated, which is not the same as an empty list: `restrict` mode with an empty
    list restricts to nothing. `pseudonym` is what may be written down in place of `id`;
    `token_id`, a pseudonym too, tells one token from another. `until`: when the token stops counting by itself, in
    seconds since the epoch.
    """

    type: str
    id: str
    source: Literal["token", "asserted", "anonymous"]
    pseudonym: str | None
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    scope_mode: ScopeMode = "restrict"
    issuer: str | None = None
    properties: dict[str, Any] = {}
    session_id: str | None = None
    token_id: str | None = None
    until: float | None = None


ANONYMOUS = Subject(type="anonymous", id="", source="anonymous", pseudonym=None)


class UnverifiedClaims(Struct, frozen=True, omit_defaults=True):
    """All that is kept of a token that failed, each at most 256 characters: never believed, only written down."""

    iss: str | None = None
    aud: str | None = None
    kid: str | None = None
    exp: int | None = None
    alg: str | None = None


class TokenRefusal(Struct, frozen=True):
    """Why a token does not count: a `token_*` reason, or `keys_unavailable`."""

    reason: str
    unverified: UnverifiedClaims | None = None


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """`count` uses of `scope` in `per_seconds` seconds by one subject, `burst` of them (`count`, if unset) at once.

    A budget of `burst` uses that fills up again at `count` per `per_seconds`.
    """

    scope: str
    count: int
    per_seconds: int
    burst: int | None = None


class Over(Struct, frozen=True):
    """Why there is no going on: `rate_limited`, or `limits_unavailable` where nobody could tell.

    `retry_after_seconds`: when it is worth asking again. `limit`: the one that is spent; None for the client address's.
    """

    reason: str
    retry_after_seconds: int | None = None
    limit: Limit | None = None


class PolicyDecision(Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy said of one check, in the shape of the Rego contract. Anything else is not an allow.

    `scopes`: what the request needs; on an allow, what granted it. `missing`: the part not held.
    `granted_by`: for each scope the roles (or `token`) that grant it. `headers`: for the upstream, on an allow.
    """

    allow: bool
    reason: str
    scopes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    headers: dict[str, str] = {}
    granted_by: dict[str, tuple[str, ...]] = {}


class Explanation(Struct, frozen=True):
    """Why a subject holds what it holds, as the policy's `explain` tells it.

    What holds a needed scope back: `ended` (scope -> roles that held it once), `restricted` (a role holds it, the
    token leaves it out), `unmet` (scope -> its conditions that are not met), and `foreign`, the parameters that would
    have to be the subject's own ID.
    """

    held: dict[str, tuple[str, ...]] = {}
    granted_by: dict[str, tuple[str, ...]] = {}
    would_grant: tuple[str, ...] = ()
    ended: dict[str, tuple[str, ...]] = {}
    restricted: tuple[str, ...] = ()
    unmet: dict[str, dict[str, Any]] = {}
    foreign: tuple[str, ...] = ()


class Decision(Struct, frozen=True, kw_only=True):
    """The answer to one AccessRequest. `id` is also the id of its record in the ledger.

    `limits`: under which the policy allowed it. `over`: which of them turned it into a refusal.
    """

    id: str
    allow: bool
    reason: str
    revision: str
    subject: Subject
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    granted_by: dict[str, tuple[str, ...]] = {}
    headers: dict[str, str] = {}
    route: str | None = None
    limits: tuple[Limit, ...] = ()
    over: Over | None = None

    @property
    def kind(self) -> Kind:
        """Allow, one of the denials, or undecided."""
        return kind_of(self.reason)
