"""What of a question may be written down: pseudonyms in place of IDs, nothing raw that a client chose."""

import re
from collections.abc import Mapping
from typing import Any

from authz.core.ports import Pseudonyms
from authz.core.routes import Route

MAX_TEXT = 256
"""Longest text of a client's own choosing (user agent, request id) that is kept."""

_PLAIN_NAME = re.compile(r"[A-Za-z_.-]{1,64}")
"""Member names that can hardly be anybody's ID: no digits, no `@`."""


def treated_params(route: Route, params: Mapping[str, str], pseudonyms: Pseudonyms) -> dict[str, str]:
    """Route parameters as the catalogue says: hashed unless it says `clear` or `drop`."""
    treated: dict[str, str] = {}
    for name, value in params.items():
        declared = route.params.get(name)
        treatment = declared.record if declared else "hash"
        if treatment == "clear":
            treated[name] = value
        elif treatment == "hash":
            treated[name] = pseudonyms.pseudonym(value)
    return treated


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


def shortened(text: str | None) -> str | None:
    """At most MAX_TEXT characters of a text that a client chose."""
    return text[:MAX_TEXT] if text else None
