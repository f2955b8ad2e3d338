"""What of a question may be written down: pseudonyms in place of IDs, nothing raw that a client chose."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from msgspec import Struct

from authz.core.contract import Catalogue
from authz.core.model import AccessRequest, Subject
from authz.core.place import Place
from authz.core.ports import Identified, Pseudonyms
from authz.core.routes import Route, Treatment

MAX_TEXT = 256
"""Longest text of a client's own choosing (user agent, request id) that is kept."""

_PLAIN_NAME = re.compile(r"[A-Za-z_.-]{1,64}")
"""Member names that can hardly be anybody's ID: no digits, no `@`."""

_COMMENT = re.compile(r"\([^()]*\)?")


def shortened(text: str | None) -> str | None:
    """At most MAX_TEXT characters of a text that a client chose."""
    return text[:MAX_TEXT] if text else None


def as_catalogued(value: str, treatment: Treatment, pseudonyms: Pseudonyms) -> str | None:
    """A route parameter as the catalogue says, hashed where it is long; None: it is not written down."""
    if treatment == "drop":
        return None
    return value if treatment == "clear" and len(value) <= MAX_TEXT else pseudonyms.pseudonym(value)


class Fields(Struct, frozen=True):
    """How fields that may tell who somebody is are written down. None stands as null, or leaves a parameter out.

    The defaults are what `audit.fields` calls `keep`.
    """

    ip: Callable[[str | None], str | None] = shortened
    user_agent: Callable[[str | None], str | None] = shortened
    session_id: bool = True
    param: Callable[[str, Treatment, Pseudonyms], str | None] = as_catalogued


KEPT = Fields()


def treated_params(
    route: Route, params: Mapping[str, str], pseudonyms: Pseudonyms, fields: Fields = KEPT
) -> dict[str, str]:
    """Route parameters as the catalogue says, hashed where it says nothing, unless `fields` says otherwise."""
    treated: dict[str, str] = {}
    for name, value in params.items():
        declared = route.params.get(name)
        written = fields.param(value, declared.record if declared else "hash", pseudonyms)
        if written is not None:
            treated[name] = written
    return treated


def identified(request: AccessRequest, subject: Subject, place: Place, catalogue: Catalogue) -> Identified:
    """The values of a question that its record names somebody or something by."""
    others = list(hashed_params(place))
    resource = request.resource
    if resource.type != "route" and not (resource.type == "scope" and resource.id in catalogue.scopes):
        others.append(resource.id)
    return Identified(subject.id or None, request.session_id or subject.session_id, tuple(others))


def hashed_params(place: Place) -> tuple[str, ...]:
    """The values of the route parameters that are recorded as pseudonyms."""
    return tuple(value for name, value in place.params.items() if _hashed(place.route, name))


def _hashed(route: Route | None, name: str) -> bool:
    declared = route.params.get(name) if route is not None else None
    return declared is None or declared.record == "hash"


@lru_cache(8192)
def coarse_address(text: str | None) -> str | None:
    """The network of an address: /24 of IPv4, /48 of IPv6. None for what is no address."""
    try:
        address = ip_address((text or "").strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((address.packed, 48), strict=False))
        address = address.ipv4_mapped
    return str(ip_network((address, 24), strict=False))


@lru_cache(8192)
def coarse_agent(text: str | None) -> str | None:
    """The names of the products in a User-Agent (RFC 9110 section 10.1.5), no versions and no comments."""
    names = [each.partition("/")[0] for each in _COMMENT.sub(" ", (text or "")[:MAX_TEXT]).split()]
    return " ".join(name for name in names[:4] if _PLAIN_NAME.fullmatch(name)) or None


def treated_path(target: str, known: frozenset[str], pseudonyms: Pseudonyms) -> str:
    """A path that matched no route: segments that no route spells out are hashed, the query is dropped."""
    segments = target.partition("?")[0].split("/")[: MAX_TEXT // 8]
    return "/".join(s if not s or s in known else pseudonyms.pseudonym(s) for s in segments)


def treated_values(value: Any, pseudonyms: Pseudonyms) -> Any:
    """Free-form JSON with every leaf but true, false and null hashed. Numbers too: a telephone number is one.

    So are the names of members that may be IDs, as in `{"alice@example.com": true}`.
    """
    if isinstance(value, dict):
        return {
            name if _PLAIN_NAME.fullmatch(name) else pseudonyms.pseudonym(name): treated_values(member, pseudonyms)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [treated_values(member, pseudonyms) for member in value]
    if value is None or isinstance(value, bool):
        return value
    return pseudonyms.pseudonym(str(value))
