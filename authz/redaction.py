"""What of a value may be logged: no secrets, no objects that could hold some, nothing endless."""

import os
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
MAX_TEXT_CHARACTERS = 4096
MAX_NESTING = 8

_SECRET_PARTS = re.compile(r"token|authorization|secret|passw|passphrase|cookie|credential|subject|apikey")
_SECRET_WORDS = frozenset({"key", "keys", "sub", "sid", "jwt", "session"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_HARMLESS_NAMES = frozenset({"key_id", "token_type", "subject_type", "subject_source"})
_HARMLESS_UNITS = ("_seconds", "_bytes", "_total", "_count")

_SECRET_TEXT = re.compile(
    r"(?-i:eyJ)[\w-]{5,}(?:\.[\w-]*)*"  # a JWT, or the start of one: base64url of `{"`
    r"|(?<=bearer\s)\s*[^\s\"',;]+"
    r"|(?<=dpop\s)\s*[^\s\"',;]+"
    r"|(?<=(?:token|ecret)=)[^\s&\"']+"
    r"|(?<=password=)[^\s&\"']+"
    r"|(?<=://)[^\s/@]+(?=@)",
    re.IGNORECASE,
)
_SECRET_SIGN = re.compile(r"[=@\s]|eyJ")
"""Somewhere in every text that _SECRET_TEXT finds, and looked for a good deal faster."""

_PLAIN = frozenset({bool, int, float, type(None)})
_CONTAINERS = (Mapping, list, tuple, set, frozenset)


def redacted(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event as plain JSON values, whatever is secret by its name or by its looks replaced."""
    return {name: _member(name, value, 0) for name, value in event.items()}


def _member(name: str, value: object, depth: int) -> Any:
    """A named value. A password may be a number, but a number of keys is no key."""
    always, as_text = _secrecy(name)
    if (always or as_text) and value is not None and not isinstance(value, bool if always else (int, float)):
        return REDACTED
    return _shown(value, depth)


@lru_cache(maxsize=1024)
def _secrecy(name: str) -> tuple[bool, bool]:
    lowered = name.lower()
    if lowered in _HARMLESS_NAMES or lowered.endswith(_HARMLESS_UNITS):
        return False, False
    words = {word.lower() for word in _WORD.findall(name)}
    return _SECRET_PARTS.search(lowered) is not None, not words.isdisjoint(_SECRET_WORDS)


def _shown(value: object, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _masked(str(value))
    if kind in _PLAIN:
        return value
    if isinstance(value, _CONTAINERS):
        return _contents(value, depth + 1) if depth < MAX_NESTING else "..."
    return _named(value)


def _contents(value: Mapping[Any, Any] | Iterable[Any], depth: int) -> Any:
    if not isinstance(value, Mapping):
        return [_shown(member, depth) for member in value]
    return {_masked(str(name)): _member(str(name), member, depth) for name, member in value.items()}


def _named(value: object) -> str:
    """Of most objects only the name of their type: a repr may hold anything."""
    if isinstance(value, (BaseException, os.PathLike)):
        return _masked(str(value))
    if isinstance(value, Enum):
        return value.name
    return _masked(str.__str__(value)) if isinstance(value, str) else f"<{type(value).__name__}>"


def _masked(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[:MAX_TEXT_CHARACTERS] + "..."
    return _SECRET_TEXT.sub(REDACTED, text) if _SECRET_SIGN.search(text) else text
