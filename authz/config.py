"""Every setting, once: its default, its meaning, and where it comes from (TOML file, then `AUTHZ_*`, then flags)."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from authz.core import ConfigurationError, ScopeMode

_NOT_SETTINGS = re.compile("AUTHZ_(CONFIG|SLO_SOURCE|TEST_.*)")
"""Environment names that belong to other parts."""


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


class PolicySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[policy]`."""

    source: Annotated[str | None, Meta(description="`default` for the shipped bundle, or a bundle file.")] = None
    sha256: Annotated[_Digest | None, Meta(description="Trust exactly this bundle, by its digest.")] = None
    deadline_seconds: Annotated[float, Meta(gt=0, le=1, description="Longest one evaluation may take.")] = 0.05


class AuditSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit]`."""

    mode: Annotated[Literal["strict"], Meta(description="strict: what cannot be recorded is answered 503.")] = "strict"
    privacy: Annotated[
        Literal["pseudonyms"] | None, Meta(description="pseudonyms: user IDs and parameters are keyed hashes.")
    ] = None
    pseudonym_key: Annotated[
        str | None, Meta(description="File with the key of the pseudonyms (32 bytes or more, mode 0600).")
    ] = None
    segment_bytes: Annotated[int, Meta(ge=4096, description="A segment is sealed at this size.")] = 64 * 1024 * 1024
    segment_seconds: Annotated[int, Meta(ge=1, description="A segment is sealed at this age.")] = 3600
    queue_records: Annotated[int, Meta(ge=1, description="Records that may wait for the disk; more is 503.")] = 20_000


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


class RequestSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits]`: how large a request may be."""

    body_bytes: Annotated[int, Meta(ge=1024, description="Largest request body.")] = 64 * 1024
    header_bytes: Annotated[int, Meta(ge=8190, description="Largest request line or header field.")] = 65_536


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[log]`."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")] = (
        "info"
    )


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of `authz serve`."""

    listen: Annotated[str, Meta(description="Decision listener: HOST:PORT or unix:PATH; port 0 = a free one.")] = (
        "127.0.0.1:8080"
    )
    admin_listen: Annotated[str, Meta(description="Admin listener: HOST:PORT or unix:PATH.")] = "127.0.0.1:8081"
    state: Annotated[str | None, Meta(description="Directory of the ledger, keys and caches.")] = None
    dev: Annotated[bool, Meta(description="Development mode: loopback only, callers trusted, keys made here.")] = False
    engine: Annotated[Literal["embedded"], Meta(description="Where the policy is evaluated.")] = "embedded"
    workers: Annotated[int, Meta(ge=1, le=1, description="Processes; more than one is not built yet.")] = 1
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(description="Identity providers whose tokens count.")] = ()
    callers: Annotated[tuple[CallerSettings, ...], Meta(description="Who may put questions.")] = ()
    policy: Annotated[PolicySettings, Meta(description="Which policy decides.")] = PolicySettings()
    audit: Annotated[AuditSettings, Meta(description="The ledger.")] = AuditSettings()
    admin: Annotated[AdminSettings, Meta(description="The admin listener.")] = AdminSettings()
    metrics: Annotated[MetricsSettings, Meta(description="Metrics.")] = MetricsSettings()
    limits: Annotated[RequestSettings, Meta(description="Request sizes.")] = RequestSettings()
    log: Annotated[LogSettings, Meta(description="Operational logs.")] = LogSettings()


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from a TOML file, `AUTHZ_*` variables over it and command line flags over both.

    Raises ConfigurationError, naming the key, for unknown keys, wrong types and what --dev or production refuses.
    """
    document: dict[str, Any] = _read_toml(file) if file else {}
    for path, value in _from_environment(os.environ if environment is None else environment):
        _put(document, path, value)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(document, name.split("."), value)
    try:
        settings = msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_worded(error)) from None
    return checked(settings)


def checked(settings: Settings) -> Settings:
    """The settings, if they are safe to start with.

    Raises ConfigurationError for the first thing that is missing or refused, with the line to add.
    """
    _check_callers(settings)
    if settings.dev:
        _check_dev(settings)
        return settings
    for missing, line in _production_needs(settings):
        if missing:
            raise ConfigurationError(f"{missing} is not stated. Add to the configuration:\n\n{line}\n")
    return settings


def split_address(address: str, key: str) -> tuple[str, int] | Path:
    """HOST:PORT as a pair, `unix:PATH` as a path.

    Raises ConfigurationError, naming the key.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if not path:
            raise ConfigurationError(f"{key}: {address!r} names no path")
        return Path(path)
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigurationError(f"{key}: {address!r} is neither HOST:PORT nor unix:PATH")
    return host.strip("[]"), int(port)


LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _check_dev(settings: Settings) -> None:
    for key, address in (("listen", settings.listen), ("admin_listen", settings.admin_listen)):
        place = split_address(address, key)
        if isinstance(place, tuple) and place[0] not in LOOPBACK_HOSTS:
            raise ConfigurationError(f"{key}: --dev serves loopback and Unix sockets only, not {address}")


def _check_callers(settings: Settings) -> None:
    for at, caller in enumerate(settings.callers):
        if caller.via == "mtls":
            raise ConfigurationError(f"callers[{at}].via: mtls is not built yet; use unix or bearer")
        if (caller.via == "bearer") != (caller.token_sha256 is not None):
            raise ConfigurationError(f"callers[{at}].token_sha256: needed for via = bearer, and only there")
    names = [caller.name for caller in settings.callers]
    if len(set(names)) != len(names):
        raise ConfigurationError("callers: every name may be used once")


_ISSUER_LINES = """\
[[issuers]]
issuer = "https://idp.example/realms/main"
audiences = ["api"]
algorithms = ["RS256"]
keys = "https://idp.example/realms/main/protocol/openid-connect/certs\""""


def _production_needs(settings: Settings) -> list[tuple[str | None, str]]:
    """(key if it is missing, the lines to add), in the order in which they are asked for."""
    return [
        (
            None if settings.issuers else "issuers",
            _ISSUER_LINES,
        ),
        (None if settings.callers else "callers", '[[callers]]\nname = "gateway"\nvia = "loopback"'),
        (None if settings.state else "state", 'state = "/var/lib/authz"'),
        (
            None if settings.audit.pseudonym_key else "audit.pseudonym_key",
            '[audit]\npseudonym_key = "/etc/authz/pseudonym.key"   # head -c 32 /dev/urandom > FILE; chmod 600 FILE',
        ),
        (None if settings.audit.privacy else "audit.privacy", '[audit]\nprivacy = "pseudonyms"'),
        (None if settings.policy.source else "policy.source", '[policy]\nsource = "default"'),
    ]


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> list[tuple[list[str], Any]]:
    found: list[tuple[list[str], Any]] = []
    for name, text in sorted(environment.items()):
        if name.startswith("AUTHZ_") and not _NOT_SETTINGS.fullmatch(name):
            found.append((name.removeprefix("AUTHZ_").lower().split("__"), _value(name, text)))
    return found


_IPV6_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]:[0-9]+")


def _value(name: str, text: str) -> Any:
    """Lists and tables are JSON; anything else is taken as it stands and converted by the type of the setting."""
    if not text.startswith(("[", "{")) or _IPV6_ADDRESS.fullmatch(text):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{name}: is not JSON: {error}") from None


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    *sections, last = path
    for section in sections:
        document = document.setdefault(section, {})
        if not isinstance(document, dict):
            raise ConfigurationError(f"{'.'.join(path)}: {section} is not a section")
    document[last] = value


def _worded(error: msgspec.ValidationError) -> str:
    """`audit.mode: Expected ...`, with the key first."""
    what, _, where = str(error).partition(" - at `$")
    if "unknown field" in what:
        what = what.replace("Object contains unknown field", "unknown setting")
    key = where.rstrip("`").lstrip(".")
    return f"{key}: {what}" if key else what


class _Row(NamedTuple):
    key: str
    kind: str
    default: str
    meaning: str


def reference() -> str:
    """Every setting as a Markdown table: key, type, default, meaning."""
    lines = [
        "Each key can also be set as an environment variable: `AUTHZ_` and the key in upper case, `__` for each dot",
        "(`AUTHZ_AUDIT__PSEUDONYM_KEY`); lists and tables as JSON.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{row.key}` | {row.kind} | {row.default} | {row.meaning} |" for row in _rows(Settings, "")]
    return "\n".join(lines)


def _rows(section: type[Struct], prefix: str) -> Iterator[_Row]:
    for field in msgspec.structs.fields(section):
        meaning = next(meta.description for meta in get_args(field.type)[1:] if meta.description)
        inner = get_args(field.type)[0]
        key = f"{prefix}{field.name}"
        entry = get_args(inner)[0] if get_origin(inner) is tuple else inner
        if isinstance(entry, type) and issubclass(entry, Struct):
            yield from _rows(entry, f"{key}{'[]' if entry is not inner else ''}.")
        else:
            yield _Row(key, _kind(inner), _default(field), meaning.replace("|", "\\|"))


def _kind(annotation: Any) -> str:
    """The type of a setting in words a TOML writer knows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return "list of strings"
    if origin is dict:
        return "table of strings"
    if origin is UnionType or origin is Union:
        return _kind(next(each for each in arguments if each is not type(None)))
    return {str: "string", int: "integer", float: "number", bool: "true or false"}[annotation]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    if field.default is msgspec.NODEFAULT:
        return "required"
    if field.default is None:
        return "not set"
    shown = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{msgspec.json.encode(shown).decode()}`"


def starter() -> str:
    """A configuration to start from: every setting that has to be stated, and where its value comes from."""
    needs = _production_needs(Settings())
    tables = [lines for _, lines in needs if lines.startswith(("[[", "[policy]"))]
    plain = [lines for _, lines in needs if not lines.startswith("[")]
    audit = [lines.removeprefix("[audit]\n") for _, lines in needs if lines.startswith("[audit]")]
    parts = [
        "# authz: every setting is explained by `authz config reference`.",
        *plain,
        'listen = "127.0.0.1:8080"\nadmin_listen = "127.0.0.1:8081"',
        *tables,
        "[audit]\n" + "\n".join(audit),
    ]
    return "\n\n".join(parts) + "\n"
