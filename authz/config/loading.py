"""Where settings come from: a TOML file, `AUTHZ_*` variables over it, command line flags over both."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from authz.config.privacy import check_privacy
from authz.config.settings import Settings
from authz.config.wording import worded
from authz.core import ConfigurationError

_NOT_SETTINGS = re.compile("AUTHZ_(CONFIG|SLO_[A-Z_]*|TEST_.*)")
"""Environment names that belong to other parts."""


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from a TOML file, `AUTHZ_*` variables over it and command line flags over both.

    Raises ConfigurationError, naming the key, for unknown keys, wrong types and what --dev or production refuses.
    """
    return checked(read(file, environment, flags))


def read(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The same for a command that serves nobody and so needs none of what serving needs.

    Raises ConfigurationError, naming the key, for unknown keys and wrong types.
    """
    document: dict[str, Any] = _read_toml(file) if file else {}
    variables = os.environ if environment is None else environment
    for path, value in _from_environment(variables):
        _put(document, path, value)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(document, name.split("."), value)
    try:
        return msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(worded(error, variables)) from None


def checked(settings: Settings) -> Settings:
    """The settings, if they are safe to start with.

    Raises ConfigurationError for the first thing that is missing or refused, with the line to add.
    """
    _check_callers(settings)
    _check_addresses(settings)
    check_privacy(settings.audit)
    if settings.dev:
        return settings
    for missing, line in production_needs(settings):
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


def _check_addresses(settings: Settings) -> None:
    for key in ("listen", "admin_listen", "envoy_grpc_listen"):
        address = getattr(settings, key)
        place = split_address(address, key) if address else None
        if settings.dev and isinstance(place, tuple) and place[0] not in LOOPBACK_HOSTS:
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


def production_needs(settings: Settings) -> list[tuple[str | None, str]]:
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
