"""One canonical form for a request path and for a host, or a refusal.

Gateways, proxies and applications decode, merge and cut paths differently. A path that two of them could read as
two different paths is refused, not guessed at.
"""

import re
import unicodedata
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote_to_bytes

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/")
"""Paths that need no further look: non-empty segments of plain characters that do not start with a dot."""

_REFUSED = re.compile(
    r"[^\x21-\x7e]"  # control characters, spaces, anything outside ASCII
    r"|[\\;#]"
    r"|%(?![0-9A-Fa-f]{2})"  # a percent sign that encodes nothing
    r"|%(?:2[fFeE]|5[cC]|3[bBfF]|23)"  # an encoded / . \ ; ? #
    r"|%(?:[01][0-9A-Fa-f]|7[fF])"  # an encoded control character
    r"|//"
    r"|/\.{1,2}(?:/|$)"
)

_REFUSED_DECODED = re.compile(
    r"%[0-9A-Fa-f]{2}"  # encoded twice, however the percent sign and the digits were written
    r"|[\x80-\x9f]"  # a control character beyond ASCII
)

_MAX_HOST = 260
"""RFC 1035 section 2.3.4: a name has at most 253 characters in this form; a dot at its end and a port."""

_DOTS = (".", "..")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"(?:\[([0-9a-f:.]+)\]|({_LABEL}(?:\.{_LABEL})*)\.?)(?::[0-9]{{1,5}})?")


def split_path(target: str) -> tuple[str, ...] | None:
    """The decoded segments of a raw request target, its query cut off; None if it can be read in two ways.

    `/` is `("",)`; a trailing slash leaves an empty last segment, because `/a` and `/a/` are two paths.
    """
    path = target.partition("?")[0]
    if _PLAIN.fullmatch(path):
        return tuple(path[1:].split("/"))
    if not path.startswith("/") or _REFUSED.search(path):
        return None
    try:
        segments = tuple(unquote_to_bytes(segment).decode() for segment in path[1:].split("/"))
    except UnicodeDecodeError:
        return None
    return None if any(map(_torn, segments)) else segments


def _torn(segment: str) -> bool:
    """Whether a decoded segment is another path to somebody.

    Some trim it, as Windows does, and some fold compatibility characters (NFKC): `..%20` and a full-width dot pair go
    up to them, a full-width slash separates.
    """
    folded = segment if segment.isascii() else unicodedata.normalize("NFKC", segment)
    return _REFUSED_DECODED.search(folded) is not None or folded.strip() in _DOTS or "/" in folded or "\\" in folded


def normalise_host(host: str) -> str | None:
    """A Host without port, trailing dot and upper case, an IPv6 address in its shortest form; None if it is no host."""
    return _normalise_host(host) if len(host) <= _MAX_HOST else None


@lru_cache(1024)
def _normalise_host(host: str) -> str | None:
    match = _HOST.fullmatch(host.lower()) if host.isascii() else None
    if match is None:
        return None
    address, name = match.groups()
    return name if name is not None else _normalise_address(address)


def _normalise_address(address: str) -> str | None:
    try:
        return f"[{IPv6Address(address).compressed}]"
    except AddressValueError:
        return None
