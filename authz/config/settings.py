"""Every setting, once: its type, default and meaning."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from authz.config.audit import AuditSettings
from authz.config.stream import StreamSettings
from authz.core import ScopeMode

_Count = Annotated[int, Meta(ge=0)]
_Word = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", max_length=64)]
"""A token of RFC 9110 section 5.6.2, as names of cookies and subprotocols are."""
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class IssuerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[issuers]]`: one identity provider whose tokens count."""

    issuer: Annotated[str, Meta(min_length=1, description="Exactly the `iss` of its tokens.")]
    audiences: Annotated[tuple[str, ...], Meta(min_length=1, description="A token must name one of these in `aud`.")]
    algorithms: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Signature algorithms accepted; asymmetric only.")
    ]
    keys: Annotated[str, Meta(min_length=1, description="JWKS: a file, or an https URL (http to loopback only).")]
    keys_over_http: Annotated[
        bool, Meta(description="Fetch keys over http from elsewhere too; whoever is on the path can hand out keys.")
    ] = False
    roles_claim: Annotated[str, Meta(description="Dotted path of the roles, such as realm_access.roles.")] = "roles"
    scopes_claim: Annotated[str, Meta(description="Dotted path of the scopes.")] = "scope"
    role_map: Annotated[dict[str, str], Meta(description="Token role -> role of the policy.")] = {}
    scope_mode: Annotated[
        ScopeMode, Meta(description="What scopes do: restrict the roles, be the grant, or be ignored.")
    ] = "restrict"
    token_types: Annotated[
        tuple[str, ...], Meta(description="Accepted `typ` headers; an absent one counts as `JWT`.")
    ] = ("at+jwt", "JWT")
    leeway_seconds: Annotated[int, Meta(ge=0, le=300, description="Clock difference forgiven for exp, nbf, iat.")] = 30
    max_lifetime_seconds: Annotated[
        int, Meta(ge=1, description="Refuse tokens that live longer than this after `iat`.")
    ] = 86_400
    subject_type: Annotated[str, Meta(description="`subject.type` of this issuer's subjects.")] = "user"
    claims: Annotated[tuple[str, ...], Meta(description="Claims the policy may see.")] = ()


class CallerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[callers]]`: who may put questions. The first entry that fits a connection is the caller."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="Written into every record.")]
    via: Annotated[
        Literal["loopback", "unix", "bearer", "mtls"], Meta(description="How it is known: loopback, unix or bearer.")
    ]
    trusted_to_assert: Annotated[
        bool, Meta(description="May state subjects, roles and scopes itself when there is no token.")
    ] = False
    explain: Annotated[bool, Meta(description="May ask for `?explain=true`.")] = False
    routes: Annotated[
        tuple[str, ...], Meta(description="Beginnings of the paths it may call, such as /check/envoy; empty = all.")
    ] = ()
    token_sha256: Annotated[_Digest | None, Meta(description="via bearer: SHA-256 of its secret, in hex.")] = None
    observe: Annotated[
        bool, Meta(description="Answer its checks 200 whatever is decided, and record `enforced: false`.")
    ] = False
    trusted_hops: Annotated[
        int,
        Meta(ge=1, le=16, description="Own proxies that add to X-Forwarded-For: the client's address is so far back."),
    ] = 1
    sets_request_id: Annotated[
        bool,
        Meta(description="X-Request-ID is its own and never a client's: a repeated one is a retry, and counts once."),
    ] = False
    token_cookie: Annotated[
        _Word | None,
        Meta(description="Gateway: the cookie with the user's token where there is none in `Authorization`."),
    ] = None
    token_subprotocol: Annotated[
        _Word | None,
        Meta(description="Gateway: what a WebSocket subprotocol begins with that is the user's token from there on."),
    ] = None
    bundle: Annotated[
        bool, Meta(description="May fetch the bundle in force from /v1/policy/bundle, as an OPA server does.")
    ] = False


class PolicyKeySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[policy.keys]]`: somebody who may sign policies (docs/bundles.md)."""

    id: Annotated[str, Meta(min_length=1, max_length=64, description="What signatures call this key.")]
    file: Annotated[str, Meta(min_length=1, description="Public key in PEM: EC P-256 or P-384, Ed25519, RSA.")]
    algorithm: Annotated[
        Literal["ES256", "ES384", "EdDSA", "PS256", "RS256"] | None,
        Meta(description="Needed for an RSA key that signs PS256; other keys have but one."),
    ] = None


class PolicySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[policy]`."""

    source: Annotated[
        str | None,
        Meta(
            description="`default` for the shipped bundle; or a bundle file or its http(s) URL, and that is followed."
        ),
    ] = None
    sha256: Annotated[
        _Digest | None, Meta(description="Trust exactly this bundle, by its digest; then nothing is followed.")
    ] = None
    keys: Annotated[tuple[PolicyKeySettings, ...], Meta(description="Who may sign policies.")] = ()
    signatures_required: Annotated[
        int, Meta(ge=1, le=16, description="By so many different keys a bundle has to be signed.")
    ] = 1
    token_file: Annotated[str | None, Meta(description="File with the bearer token for the source's URL.")] = None
    poll_seconds: Annotated[
        float, Meta(ge=0.1, le=86_400, description="How often the source is looked at; a tenth more or less.")
    ] = 10.0
    long_poll_seconds: Annotated[
        int,
        Meta(ge=0, le=600, description="Longest that a source may hold a request, by OPA's long polling; 0 = off."),
    ] = 30
    max_bytes: Annotated[int, Meta(ge=1024, description="Largest bundle that is read.")] = 16 * 1024 * 1024
    stale_after_seconds: Annotated[
        int, Meta(ge=0, description="A policy that its source has not confirmed for so long is stale; 0 = never.")
    ] = 0
    stale: Annotated[
        Literal["serve", "degrade", "refuse"],
        Meta(description="When stale: decide all the same; decide, but be not ready; or answer 503 `policy_stale`."),
    ] = "serve"
    shadow_seconds: Annotated[
        float,
        Meta(ge=0, le=604_800, description="So long a new policy first runs beside the old one, answering nobody."),
    ] = 0.0
    shadow_differences: Annotated[
        _Count | None,
        Meta(description="With more differing decisions there it is rejected; unset = any number."),
    ] = None
    replay_sample: Annotated[
        int,
        Meta(ge=0, le=100_000, description="So many of the newest decisions are put to a new policy first; 0 = none."),
    ] = 0
    replay_max_flips: Annotated[
        int,
        Meta(ge=0, description="Where more of them come out otherwise, or nobody can say how, it is rejected."),
    ] = 0
    deadline_seconds: Annotated[
        float, Meta(gt=0, le=1, description="Longest one evaluation may compute; by the clock ten times that.")
    ] = 0.05


class OpaSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[opa]`: the OPA server of `engine = "opa"` (docs/opa-server.md)."""

    url: Annotated[
        str | None,
        Meta(description="https URL or unix:PATH (http to loopback only); unset = a local `opa` is started and kept."),
    ] = None
    ca_file: Annotated[str | None, Meta(description="PEM file of the authorities its certificate may come from.")] = (
        None
    )
    token_file: Annotated[str | None, Meta(description="File with the token that its API wants; may be replaced.")] = (
        None
    )
    program: Annotated[str | None, Meta(description="The `opa` to start; else the one on PATH.")] = None
    deadline_seconds: Annotated[
        float, Meta(ge=0.01, le=5, description="Longest a check waits for its answer; then it is a 503.")
    ] = 0.25
    batch_checks: Annotated[int, Meta(ge=1, le=256, description="Most checks in one call.")] = 64


class AdminToken(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[admin.tokens]]`: break-glass, for when policy or identity provider is broken."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="Written into the record of each use.")]
    sha256: Annotated[_Digest, Meta(description="SHA-256 of the secret, in hex.")]


class AdminSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[admin]`."""

    tokens: Annotated[tuple[AdminToken, ...], Meta(description="Break-glass tokens; each use is recorded loudly.")] = ()
    socket: Annotated[
        str | None, Meta(description="Unix socket of the admin listener; the same user needs no token there.")
    ] = None


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[metrics]`."""

    token_file: Annotated[
        str | None, Meta(description="File with the bearer token that a scrape from elsewhere than loopback needs.")
    ] = None


class AddressLimit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits.address]`: how often one client address may ask, before its token is looked at."""

    count: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests of one address; an IPv6 /64 is one.")]
    per_seconds: Annotated[int, Meta(ge=1, le=86_400, description="In so many seconds.")] = 1
    burst: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None, Meta(description="So many at once; else `count`.")
    ] = None


class SharedLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits.shared]`: where several sidecars keep one budget (docs/limits.md)."""

    url: Annotated[
        str, Meta(pattern="^(redis|rediss|unix)://", description="Valkey or Redis: redis://, rediss:// or unix://.")
    ]
    key_file: Annotated[
        str, Meta(min_length=1, description="Secret of all these sidecars (32 bytes or more, mode 0600): no IDs there.")
    ]
    password_file: Annotated[str | None, Meta(description="File with the server's password.")] = None
    when_away: Annotated[
        Literal["local", "deny"],
        Meta(description="Without an answer of it: each sidecar counts for itself, or 503 (`limits_unavailable`)."),
    ] = "local"
    timeout_seconds: Annotated[float, Meta(gt=0, le=5, description="How long it may take to answer.")] = 0.05


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits]`: how large a request may be, and how often one may come."""

    body_bytes: Annotated[int, Meta(ge=1024, description="Largest request body.")] = 64 * 1024
    header_bytes: Annotated[int, Meta(ge=8190, description="Largest request line or header field.")] = 65_536
    search_candidates: Annotated[
        int, Meta(ge=1, le=10_000, description="Most candidates that one search decides on; more are on the next page.")
    ] = 1000
    batch_items: Annotated[int, Meta(ge=1, le=10_000, description="Most evaluations in one AuthZEN request.")] = 500
    budgets: Annotated[
        int, Meta(ge=1_000, le=20_000_000, description="Rate limit budgets kept at most, about 130 bytes each.")
    ] = 250_000
    retry_seconds: Annotated[
        float, Meta(ge=0, le=60, description="A gateway's retry within so many seconds counts once; see `callers`.")
    ] = 10.0
    address: Annotated[AddressLimit | None, Meta(description="Limit of each client address; unset = none.")] = None
    shared: Annotated[SharedLimits | None, Meta(description="Budgets shared by several sidecars; unset = none.")] = None


class ReportingSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[reporting]`: events that callers report (docs/reporting.md)."""

    window_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="For how long an event that is sent again is known to be recorded.")
    ] = 900
    remembered_ids: Annotated[
        int, Meta(ge=1024, description="How many IDs are remembered for that, at about 100 bytes each.")
    ] = 500_000


class AuthzenSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[authzen]`: what the metadata document says, and pages of searches (docs/authzen.md)."""

    identifier: Annotated[
        str | None,
        Meta(description="The PDP's identifier, an https URL without query or fragment; unset = no metadata document."),
    ] = None
    metadata_key: Annotated[
        str | None, Meta(description="PEM file of a private key that signs the metadata too; unset = unsigned.")
    ] = None
    page_key: Annotated[
        str | None,
        Meta(description="File with 32 bytes or more, the same on all replicas; unset = pages end with the process."),
    ] = None


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[log]`."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")] = (
        "info"
    )
    allows_one_in: Annotated[
        int, Meta(ge=0, description="One line for each so many allows; 1 = for all, 0 = for none. Denials: always.")
    ] = 100


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of `authz serve`."""

    listen: Annotated[str, Meta(description="Decision listener: HOST:PORT or unix:PATH; port 0 = a free one.")] = (
        "127.0.0.1:8080"
    )
    admin_listen: Annotated[str, Meta(description="Admin listener: HOST:PORT or unix:PATH.")] = "127.0.0.1:8081"
    envoy_grpc_listen: Annotated[
        str | None, Meta(description="Listener for Envoy's gRPC ext_authz, with the `grpc` extra; unset = none.")
    ] = None
    state: Annotated[str | None, Meta(description="Directory of the ledger, keys and caches.")] = None
    dev: Annotated[bool, Meta(description="Development mode: loopback only, callers trusted, keys made here.")] = False
    engine: Annotated[
        Literal["embedded", "opa"], Meta(description="Where the policy is evaluated: in this process, or by an OPA.")
    ] = "embedded"
    workers: Annotated[int, Meta(ge=1, le=1, description="Processes; more than one is not built yet.")] = 1
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(description="Identity providers whose tokens count.")] = ()
    callers: Annotated[tuple[CallerSettings, ...], Meta(description="Who may put questions.")] = ()
    policy: Annotated[PolicySettings, Meta(description="Which policy decides.")] = PolicySettings()
    opa: Annotated[OpaSettings, Meta(description='The OPA server, for `engine = "opa"`.')] = OpaSettings()
    audit: Annotated[AuditSettings, Meta(description="The ledger.")] = AuditSettings()
    admin: Annotated[AdminSettings, Meta(description="The admin listener.")] = AdminSettings()
    metrics: Annotated[MetricsSettings, Meta(description="Metrics.")] = MetricsSettings()
    authzen: Annotated[AuthzenSettings, Meta(description="AuthZEN metadata and search.")] = AuthzenSettings()
    limits: Annotated[LimitSettings, Meta(description="How large and how often.")] = LimitSettings()
    stream: Annotated[StreamSettings, Meta(description="Decisions over WebSocket.")] = StreamSettings()
    reporting: Annotated[ReportingSettings, Meta(description="Reported events.")] = ReportingSettings()
    log: Annotated[LogSettings, Meta(description="Operational logs.")] = LogSettings()
