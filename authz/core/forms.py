"""Forms that make a path ambiguous, and that a route may accept in its parameters: encoded slashes and semicolons."""

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

from authz.core.paths import split_path

PathForm = Literal["encoded_slash", "semicolon"]
"""`encoded_slash`: `%2F` is a slash in a value. `semicolon`: `;` or `%3B` is a character of a value."""

_SLASH = re.compile("%2[fF]")
_SEMICOLON = re.compile(";|%3[bB]")
_MATRIX = re.compile("(?:;|%3[bB])[^/]*")
"""A matrix parameter (RFC 3986 section 3.3), which some upstreams cut off."""


class FormedPath(NamedTuple):
    """A path with such forms: its decoded segments, and its segments as others read it."""

    segments: tuple[str, ...]
    forms: frozenset[PathForm]
    readings: tuple[tuple[str, ...], ...]


def read_formed(target: str) -> FormedPath | None:
    """A raw request target that is ambiguous for these forms alone; None if it is for anything else, or not at all."""
    raw = target.partition("?")[0]
    forms: set[PathForm] = set()
    if _SLASH.search(raw):
        forms.add("encoded_slash")
    if _SEMICOLON.search(raw):
        forms.add("semicolon")
    readings = [split_path(each) for each in (_aside(raw), *_as_others_read(raw))]
    # An empty end, `/a/` or what is left of `/a/;x`, is `/a` to many.
    plain = tuple(each for each in readings if each is not None and each[-1])
    if not forms or len(plain) < len(readings):
        return None
    segments = tuple(map(unquote, raw[1:].split("/")))
    return FormedPath(segments, frozenset(forms), plain[1:])


def _aside(raw: str) -> str:
    """The path with something harmless in place of the forms."""
    return _SEMICOLON.sub("~", _SLASH.sub("~", raw))


def _as_others_read(raw: str) -> set[str]:
    """Slashes decoded, matrix parameters cut off, and both, in either order."""
    slashed = _SLASH.sub("/", raw)
    cut = _MATRIX.sub("", raw)
    return {_SEMICOLON.sub("~", slashed), _SLASH.sub("~", cut), _SLASH.sub("/", cut), _MATRIX.sub("", slashed)}
