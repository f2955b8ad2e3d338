"""Settings come from a file, the environment and flags; what is unknown, wrong or missing is refused by name."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from authz.config import (
    AdminSettings,
    AdminToken,
    AuditSettings,
    CallerSettings,
    IssuerSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    PolicySettings,
    Settings,
    checked,
    load,
    reference,
    split_address,
    starter,
)
from authz.core import ConfigurationError
from authz.identity import check_issuers

DIGEST = "0123456789abcdef" * 4

WHOLE = f"""
listen = "unix:/run/authz.sock"
admin_listen = "[::1]:9000"
state = "/var/lib/authz"

[[issuers]]
issuer = "https://idp.test"
audiences = ["api"]
algorithms = ["EdDSA"]
keys = "/etc/authz/jwks.json"
keys_over_http = true
roles_claim = "realm_access.roles"
scopes_claim = "scp"
role_map = {{ boss = "admin" }}
scope_mode = "grant"
token_types = ["at+jwt"]
leeway_seconds = 5
max_lifetime_seconds = 600
subject_type = "service"
claims = ["acr"]

[[callers]]
name = "gateway"
via = "unix"
routes = ["/check/envoy"]

[[callers]]
name = "backend"
via = "bearer"
token_sha256 = "{DIGEST}"
trusted_to_assert = true
explain = true

[policy]
source = "/etc/authz/bundle.tar.gz"
sha256 = "{DIGEST}"
deadline_seconds = 0.02

[audit]
mode = "strict"
privacy = "pseudonyms"
pseudonym_key = "/etc/authz/pseudonym.key"
segment_bytes = 8192
segment_seconds = 60
queue_records = 5

[admin]
socket = "/run/authz-admin.sock"
tokens = [{{ name = "oncall", sha256 = "{DIGEST}" }}]

[metrics]
token_file = "/etc/authz/scrape"

[limits]
body_bytes = 2048
header_bytes = 16384

[log]
level = "debug"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its configuration."""
    return tmp_path / "authz.toml"


def refusal(file: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> str:
    """The message with which a configuration is refused."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, environment or {}, flags)
    return str(caught.value)


def test_every_setting_is_read(file: Path) -> None:
    """Every setting of every section is read from the file as it stands there."""
    file.write_text(WHOLE)
    assert load(file, {}) == Settings(
        listen="unix:/run/authz.sock",
        admin_listen="[::1]:9000",
        state="/var/lib/authz",
        issuers=(
            IssuerSettings(
                issuer="https://idp.test",
                audiences=("api",),
                algorithms=("EdDSA",),
                keys="/etc/authz/jwks.json",
                keys_over_http=True,
                roles_claim="realm_access.roles",
                scopes_claim="scp",
                role_map={"boss": "admin"},
                scope_mode="grant",
                token_types=("at+jwt",),
                leeway_seconds=5,
                max_lifetime_seconds=600,
                subject_type="service",
                claims=("acr",),
            ),
        ),
        callers=(
            CallerSettings(name="gateway", via="unix", routes=("/check/envoy",)),
            CallerSettings(name="backend", via="bearer", token_sha256=DIGEST, trusted_to_assert=True, explain=True),
        ),
        policy=PolicySettings(source="/etc/authz/bundle.tar.gz", sha256=DIGEST, deadline_seconds=0.02),
        audit=AuditSettings(
            privacy="pseudonyms",
            pseudonym_key="/etc/authz/pseudonym.key",
            segment_bytes=8192,
            segment_seconds=60,
            queue_records=5,
        ),
        admin=AdminSettings(tokens=(AdminToken(name="oncall", sha256=DIGEST),), socket="/run/authz-admin.sock"),
        metrics=MetricsSettings(token_file="/etc/authz/scrape"),
        limits=LimitSettings(body_bytes=2048, header_bytes=16384),
        log=LogSettings(level="debug"),
    )


def test_flags_go_over_the_environment_over_the_file(file: Path) -> None:
    """A flag wins over the environment, the environment over the file; a flag that is not given changes nothing."""
    file.write_text('dev = true\nstate = "file"\nlisten = "127.0.0.1:1"\n[log]\nlevel = "debug"\n')
    environment = {"AUTHZ_STATE": "environment", "AUTHZ_LISTEN": "127.0.0.1:2", "AUTHZ_LOG__LEVEL": "error"}
    assert load(file, {}) == Settings(dev=True, state="file", listen="127.0.0.1:1", log=LogSettings(level="debug"))
    assert load(file, environment) == Settings(
        dev=True, state="environment", listen="127.0.0.1:2", log=LogSettings(level="error")
    )
    flags = {"listen": "127.0.0.1:3", "log.level": "info", "state": None, "policy.source": "bundle.tar.gz"}
    assert load(file, environment, flags) == Settings(
        dev=True,
        state="environment",
        listen="127.0.0.1:3",
        log=LogSettings(level="info"),
        policy=PolicySettings(source="bundle.tar.gz"),
    )


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything can be set by environment: lists and tables as JSON, numbers and truth values as text."""
    for name, text in {
        "AUTHZ_DEV": "true",
        "AUTHZ_LISTEN": "[::1]:8080",
        "AUTHZ_CALLERS": '[{"name": "gateway", "via": "loopback"}]',
        "AUTHZ_AUDIT__SEGMENT_BYTES": "8192",
        "AUTHZ_AUDIT__PRIVACY": "pseudonyms",
        "AUTHZ_METRICS": '{"token_file": "/etc/scrape"}',
    }.items():
        monkeypatch.setenv(name, text)
    assert load() == Settings(
        dev=True,
        listen="[::1]:8080",
        callers=(CallerSettings(name="gateway", via="loopback"),),
        audit=AuditSettings(segment_bytes=8192, privacy="pseudonyms"),
        metrics=MetricsSettings(token_file="/etc/scrape"),
    )


def test_other_parts_keep_their_variables() -> None:
    """Variables of other parts, and of other programs, are no settings."""
    others = {"AUTHZ_CONFIG": "x", "AUTHZ_SLO_SOURCE": "x", "AUTHZ_TEST_EXAMPLES": "9", "AUTHZLISTEN": "x", "PATH": "x"}
    assert load(None, {"AUTHZ_DEV": "1"} | others) == Settings(dev=True)


WRONG = {
    "unknown setting": ("listne = 1", "unknown setting `listne`; did you mean `listen`?"),
    "unknown setting in a section": ("[audit]\nmod = 1", "audit: unknown setting `mod`; did you mean `mode`?"),
    "unknown setting in a list": (
        '[[callers]]\nname = "a"\nvai = "unix"',
        "callers[0]: unknown setting `vai`; did you mean `via`?",
    ),
    "unknown section": ("[cache]\n", "unknown setting `cache`; `authz config reference` lists all"),
    "wrong type": ("listen = 8080", "listen: Expected `str`, got `int`"),
    "wrong type in a section": ('[limits]\nbody_bytes = "big"', "limits.body_bytes: Expected `int`, got `str`"),
    "section that is none": ('audit = "strict"', "audit: Expected `object`, got `str`"),
    "list that is none": ('issuers = "x"', "issuers: Expected `array`, got `str`"),
    "unknown choice": (
        '[audit]\nmode = "lenient"',
        "audit.mode: Invalid enum value 'lenient'; it is one of strict, degraded",
    ),
    "unknown choice in a list": (
        '[[callers]]\nname = "a"\nvia = "tcp"',
        "callers[0].via: Invalid enum value 'tcp'; it is one of loopback, unix, bearer, mtls",
    ),
    "unknown setting deep down": (
        "[audit.alarms.new_admin]\ntreshold = 2",
        "audit.alarms.new_admin: unknown setting `treshold`; did you mean `threshold`?",
    ),
    "no address": ('listen = "127.0.0.1"', "listen: '127.0.0.1' is neither HOST:PORT nor unix:PATH"),
    "no port": ('admin_listen = "[::1]:x"', "admin_listen: '[::1]:x' is neither HOST:PORT nor unix:PATH"),
    "out of bounds": ("workers = 2", "workers: Expected `int` <= 1"),
    "out of bounds in a list": (
        '[[issuers]]\nissuer = "i"\naudiences = ["a"]\nalgorithms = ["EdDSA"]\nkeys = "k"\nleeway_seconds = 301',
        "issuers[0].leeway_seconds: Expected `int` <= 300",
    ),
    "missing in a list": ('[[callers]]\nname = "a"', "callers[0]: Object missing required field `via`"),
    "no issuer": (
        '[[issuers]]\nissuer = ""\naudiences = ["a"]\nalgorithms = ["EdDSA"]\nkeys = "k"',
        "issuers[0].issuer: Expected `str` of length >= 1",
    ),
    "no audience": (
        '[[issuers]]\nissuer = "i"\naudiences = []\nalgorithms = ["EdDSA"]\nkeys = "k"',
        "issuers[0].audiences: Expected `array` of length >= 1",
    ),
    "no algorithm": (
        '[[issuers]]\nissuer = "i"\naudiences = ["a"]\nalgorithms = []\nkeys = "k"',
        "issuers[0].algorithms: Expected `array` of length >= 1",
    ),
    "no keys": (
        '[[issuers]]\nissuer = "i"\naudiences = ["a"]\nalgorithms = ["EdDSA"]\nkeys = ""',
        "issuers[0].keys: Expected `str` of length >= 1",
    ),
    "caller without a name": ('[[callers]]\nname = ""\nvia = "unix"', "callers[0].name: Expected `str` of length >= 1"),
    "bearer without its digest": (
        '[[callers]]\nname = "a"\nvia = "bearer"',
        "callers[0].token_sha256: needed for via = bearer, and only there",
    ),
    "a digest without bearer": (
        f'[[callers]]\nname = "a"\nvia = "unix"\ntoken_sha256 = "{DIGEST}"',
        "callers[0].token_sha256: needed for via = bearer, and only there",
    ),
    "mtls": ('[[callers]]\nname = "a"\nvia = "mtls"', "callers[0].via: mtls is not built yet; use unix or bearer"),
    "one name twice": (
        '[[callers]]\nname = "a"\nvia = "unix"\n[[callers]]\nname = "a"\nvia = "loopback"',
        "callers: every name may be used once",
    ),
}


@pytest.mark.parametrize("dev", ["dev = true\n", ""])
@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_refused_by_its_key(file: Path, dev: str, text: str, message: str) -> None:
    """What is unknown or wrong is refused with its key, in development too."""
    assert refusal(file, dev + text) == message


def test_a_wrong_variable_is_refused_by_its_key(file: Path) -> None:
    """A variable is held to the same as the file; one that begins like ours is a setting or a mistake."""
    dev = "dev = true\n"
    assert refusal(file, dev, {"AUTHZ_LISTNE": "x"}) == (
        "unknown setting `listne` (from AUTHZ_LISTNE); did you mean `listen`?"
    )
    assert refusal(file, dev, {"AUTHZ_AUDIT__MOD": "x"}) == (
        "audit: unknown setting `mod` (from AUTHZ_AUDIT__MOD); did you mean `mode`?"
    )
    assert refusal(file, dev, {"AUTHZ_AUDT__MODE": "x"}) == (
        "unknown setting `audt` (from AUTHZ_AUDT__MODE); did you mean `audit`?"
    )
    assert refusal(file, dev, {"AUTHZ_CONFIGURATION": "x"}) == (
        "unknown setting `configuration` (from AUTHZ_CONFIGURATION); `authz config reference` lists all"
    )
    assert (
        refusal(file, dev, {"AUTHZ_AUDIT__MODE": "none"})
        == "audit.mode: Invalid enum value 'none'; it is one of strict, degraded"
    )
    assert refusal(file, dev, {"AUTHZ_WORKERS": "two"}) == "workers: Expected `int`, got `str`"
    assert refusal(file, dev, {"AUTHZ_DEV": "perhaps"}) == "dev: Expected `bool`, got `str`"
    assert refusal(file, dev + 'audit = "x"', {"AUTHZ_AUDIT__MODE": "strict"}) == "audit.mode: audit is not a section"
    assert refusal(file, dev, {"AUTHZ_CALLERS": "[{"}) == "AUTHZ_CALLERS: is not JSON: Input data was truncated"


def test_a_file_that_cannot_be_read_is_refused_by_name(file: Path) -> None:
    """A file that is missing or no TOML is named."""
    assert refusal(file, "listen =") == f"{file}: is not TOML: Invalid value (at end of document)"
    missing = file.with_name("missing.toml")
    with pytest.raises(ConfigurationError) as caught:
        load(missing, {})
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"
    file.write_bytes(b'state = "\xff"')
    with pytest.raises(ConfigurationError, match="is not TOML: 'utf-8' codec"):
        load(file, {})


ISSUER = """\
[[issuers]]
issuer = "https://idp.example/realms/main"
audiences = ["api"]
algorithms = ["RS256"]
keys = "https://idp.example/realms/main/protocol/openid-connect/certs\""""
CALLER = '[[callers]]\nname = "gateway"\nvia = "loopback"'
STATE = 'state = "/var/lib/authz"'
KEY = '[audit]\npseudonym_key = "/etc/authz/pseudonym.key"   # head -c 32 /dev/urandom > FILE; chmod 600 FILE'
PRIVACY = '[audit]\nprivacy = "pseudonyms"'
POLICY = '[policy]\nsource = "default"'
NEEDS = [
    ("issuers", ISSUER, ""),
    ("callers", CALLER, ISSUER),
    ("state", STATE, f"{ISSUER}\n{CALLER}"),
    ("audit.pseudonym_key", KEY, f"{STATE}\n{ISSUER}\n{CALLER}"),
    ("audit.privacy", PRIVACY, f"{STATE}\n{ISSUER}\n{CALLER}\n{KEY}"),
    ("policy.source", POLICY, f"{STATE}\n{ISSUER}\n{CALLER}\n{KEY}\n{PRIVACY.removeprefix('[audit]')}"),
]


@pytest.mark.parametrize(("key", "lines", "stated"), NEEDS, ids=[key for key, _, _ in NEEDS])
def test_what_production_needs_is_asked_for_one_by_one(file: Path, key: str, lines: str, stated: str) -> None:
    """Outside development the first missing setting is named, with the lines to add; development needs none."""
    assert refusal(file, stated) == f"{key} is not stated. Add to the configuration:\n\n{lines}\n"
    assert load(file, {}, {"dev": True}).dev


def test_with_all_that_is_needed_it_starts(file: Path) -> None:
    """When each line that was asked for is added, nothing more is asked."""
    _, last, stated = NEEDS[-1]
    file.write_text(f"{stated}\n{last}")
    settings = load(file, {})
    assert checked(settings) is settings


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:8080", "example.com:1", "127.0.0.2:1", "localhost.evil.test:1"],
)
def test_development_stays_at_home(file: Path, key: str, address: str) -> None:
    """`--dev` serves loopback and Unix sockets only, on both listeners."""
    assert refusal(file, f'dev = true\n{key} = "{address}"') == (
        f"{key}: --dev serves loopback and Unix sockets only, not {address}"
    )


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:8080", "[::1]:8080", "unix:/run/authz.sock"])
def test_development_serves_loopback(file: Path, address: str) -> None:
    """`--dev` takes any loopback address and any Unix socket."""
    file.write_text(f'dev = true\nlisten = "{address}"')
    assert load(file, {}) == Settings(dev=True, listen=address)


def test_an_address_is_split() -> None:
    """HOST:PORT becomes a pair, an IPv6 address loses its brackets, `unix:PATH` becomes a path."""
    addresses = ["127.0.0.1:0", "localhost:65535", "[::1]:80", ":80", "unix:/a b", "unix:relative"]
    assert [split_address(address, "listen") for address in addresses] == [
        ("127.0.0.1", 0),
        ("localhost", 65535),
        ("::1", 80),
        ("", 80),
        Path("/a b"),
        Path("relative"),
    ]


@pytest.mark.parametrize(
    "address", ["", ":", "host", "host:", "host:x", "host:65536", "host:-1", "host: 1", "host:\u00b2", "1"]
)
def test_what_is_no_address_is_refused_by_its_key(address: str) -> None:
    """An address without a usable port is refused with the key it was given for."""
    with pytest.raises(ConfigurationError) as caught:
        split_address(address, "admin_listen")
    assert str(caught.value) == f"admin_listen: {address!r} is neither HOST:PORT nor unix:PATH"


def test_a_socket_needs_a_path() -> None:
    """`unix:` alone is refused."""
    with pytest.raises(ConfigurationError) as caught:
        split_address("unix:", "listen")
    assert str(caught.value) == "listen: 'unix:' names no path"


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ('[[callers]]\nname = "a"\nvia = "bearer"\ntoken_sha256 = "s3cret"', {}),
        ('[[callers]]\nname = "a"\nvia = "bearer"\ntoken = "s3cret"', {}),
        ('[[admin.tokens]]\nname = "a"\nsha256 = "s3cret"', {}),
        ('[policy]\nsha256 = "s3cret"', {}),
        ('token = "s3cret', {}),
        ("token = s3cret", {}),
        ("dev = true", {"AUTHZ_TOKEN": "s3cret"}),
        ("dev = true", {"AUTHZ_CALLERS": '["s3cret"'}),
        ("dev = true", {"AUTHZ_CALLERS": "s3cret"}),
        ("dev = true", {"AUTHZ_ADMIN__TOKENS": '[{"name": "a", "sha256": "s3cret"}]'}),
    ],
)
def test_a_refusal_keeps_secrets(file: Path, text: str, environment: dict[str, str]) -> None:
    """What stands where a secret or its digest belongs is never repeated in a message."""
    assert "s3cret" not in refusal(file, text, environment)


def settings_of(section: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """The key of every setting, lists of tables with `[]`."""
    for field in msgspec.structs.fields(section):
        kind = get_args(field.type)[0]
        entry = next(
            (each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, msgspec.Struct)),
            None,
        )
        key = f"{prefix}{field.name}"
        if entry is None:
            yield key
        else:
            yield from settings_of(entry, f"{key}{'[]' if get_origin(kind) is tuple else ''}.")


def test_the_reference_has_a_row_for_every_setting() -> None:
    """The reference lists every setting once, each with type, default and meaning."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in rows]
    assert [key.strip("`") for key, *_ in cells] == list(settings_of(Settings))
    assert {len(row) for row in cells} == {4}
    for _, kind, default, meaning in cells:
        assert kind
        assert default
        assert meaning.endswith(".")


def test_the_reference_tells_defaults_and_choices() -> None:
    """A row says what a setting is when it is not stated, and what it may be."""
    lines = reference().splitlines()
    assert "| `audit.segment_seconds` | integer | `3600` | A segment is sealed at this age. |" in lines
    assert "| `state` | string | not set | Directory of the ledger, keys and caches. |" in lines
    assert "| `issuers[].issuer` | string | required | Exactly the `iss` of its tokens. |" in lines
    assert (
        '| `log.level` | `"debug"` or `"info"` or `"warning"` or `"error"` | `"info"` | Least severe line written. |'
    ) in lines


def test_the_starter_starts(file: Path) -> None:
    """The configuration to start from is complete, and states every section once."""
    file.write_text(starter())
    settings = load(file, {})
    assert checked(settings) is settings
    assert sorted(tomllib.loads(starter())) == [
        "admin_listen",
        "audit",
        "callers",
        "issuers",
        "listen",
        "policy",
        "state",
    ]


def test_the_starters_issuers_can_be_used(file: Path) -> None:
    """The issuer to start from is one that the verifier accepts."""
    file.write_text(starter())
    check_issuers(load(file, {}).issuers)
