"""AuthZEN as it is configured: its routes, the metadata document, and the keys both take."""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from authz.core import METADATA, ConfigurationError
from authz.http.answers import Route
from authz.http.authzen import AuthzenRoutes
from authz.http.callers import Callers
from authz.http.metadata import Metadata, SigningKey
from authz.http.pages import PageTokens
from authz.http.search import SearchRoutes
from authz.pdp import Pdp

_KEY_BYTES = 32


class Authzen(NamedTuple):
    """The routes at their default paths, the metadata document, and `aliases`: other paths for the same routes."""

    routes: dict[str, Route]
    metadata: Metadata
    aliases: dict[str, str]


async def authzen(pdp: Pdp, callers: Callers) -> Authzen:
    """All of AuthZEN. Raises ConfigurationError, naming the setting."""
    settings = pdp.settings.authzen
    page_key = await asyncio.to_thread(_page_key, settings.page_key)
    key = await asyncio.to_thread(SigningKey.read, Path(settings.metadata_key)) if settings.metadata_key else None
    identifier = _checked(settings.identifier, dev=pdp.settings.dev)
    metadata = Metadata(identifier, key, lambda: pdp.policies.active.searches)
    limits, decisions = pdp.settings.limits, pdp.decisions
    pages = PageTokens(page_key, decisions.clock.now)
    routes = {
        **AuthzenRoutes(decisions, callers, pdp.meter.refused, limits.batch_items).routes,
        **SearchRoutes(decisions, callers, pages, limits.search_candidates).routes,
    }
    # What is advertised works whether or not a proxy takes the identifier's path away.
    aliases = {metadata.prefix + path: path for path in routes} if metadata.prefix else {}
    aliases |= {metadata.path: METADATA}
    return Authzen({**routes, METADATA: metadata.answer}, metadata, aliases)


def _page_key(path: str | None) -> bytes:
    if path is None:
        return os.urandom(_KEY_BYTES)
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"authzen.page_key: {path} cannot be read: {error.strerror}") from None
    if len(key) < _KEY_BYTES:
        raise ConfigurationError(f"authzen.page_key: {path} is shorter than {_KEY_BYTES} bytes")
    return key


def _checked(identifier: str | None, *, dev: bool) -> str | None:
    """The identifier, if it may be one (section 9.1.1). Raises ConfigurationError."""
    if identifier is None:
        return None
    try:
        url = urlsplit(identifier)
        known = url.scheme == "https" or (dev and url.scheme == "http")
        plain = known and url.hostname and not url.username and "?" not in identifier and "#" not in identifier
    except ValueError:
        plain = False
    if not plain or not identifier.isascii() or not identifier.isprintable() or " " in identifier:
        raise ConfigurationError("authzen.identifier: must be an https URL without query or fragment")
    return identifier
