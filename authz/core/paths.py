"""One canonical form for a request path and for a host, or a refusal.

Gateways, proxies and applications decode, merge and cut paths differently. A path that two of them could read as
two different paths is refused, not guessed at.
"""

import re
from urllib.parse import unquote_to_bytes

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/")
"""Paths that need no further look: non-empty segments of plain characters that do not start with a dot."""

_REFUSED = re.compile(
    r"[^\x21-\x7e]"  # control characters, spaces, anything outside ASCII
    r"|[\\;#]"
    r"|%(?![0-9A-Fa-f]{2})"  # a percent sign that encodes nothing
    r"|%25[0-9A-Fa-f]{2}"  # encoded twice
    r"|%(?:2[fFeE]|5[cC]|3[bB])"  # an encoded / . \ ;
    r"|%(?:[01][0-9A-Fa-f]|7[fF])"  # an encoded control character
    r"|//"
    r"|/\.{1,2}(?:/|$)"
)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)\.?(?::[0-9]{1,5})?")


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
        return tuple(unquote_to_bytes(segment).decode() for segment in path[1:].split("/"))
    except UnicodeDecodeError:
        return None


def normalise_host(host: str) -> str | None:
    """A Host without port, trailing dot and upper case; None if it is empty or no host."""
    match = _HOST.fullmatch(host.lower())
    return match.group(1) if match else None
