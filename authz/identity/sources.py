"""Where an issuer's JWK Set comes from: a file, or a URL asked with aiohttp. Neither ever blocks the event loop."""

import asyncio
import re
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp

from authz.identity.keys import MAX_DOCUMENT_BYTES, KeysUnavailableError

FETCH_TIMEOUT_SECONDS = 5.0
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})")
_SECONDS = re.compile(r"[0-9]{1,9}")
_FILE_LIFETIME_SECONDS = 10.0
_ASSUMED_LIFETIME_SECONDS = 600.0
_LIFETIME_BOUNDS_SECONDS = (60.0, 3600.0)


class Loaded(NamedTuple):
    """A document and how long it is fresh. It is asked for again at half of that."""

    document: bytes
    lifetime_seconds: float


class KeySource(Protocol):
    """One place to get a JWK Set document from."""

    async def load(self) -> Loaded:
        """The document as it is now. Raises KeysUnavailableError, which says what happened but not what came."""
        ...


class KeyFile:
    """A file, read again every few seconds: a file swapped by a deployment or a mounted secret is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> Loaded:
        """The file's bytes, at most one more than are allowed."""
        return Loaded(await asyncio.to_thread(self._read), _FILE_LIFETIME_SECONDS)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise KeysUnavailableError(f"the file of keys cannot be read: {type(error).__name__}") from None


class KeyUrl:
    """An HTTP endpoint. Redirects are not followed: the operator named the host that is trusted."""

    def __init__(self, url: str, session: aiohttp.ClientSession, timeout_seconds: float = FETCH_TIMEOUT_SECONDS):
        self._url = url
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def load(self) -> Loaded:
        """The body of a 200, within the time and size that are allowed."""
        try:
            async with self._session.get(self._url, timeout=self._timeout, allow_redirects=False) as response:
                if response.status != 200:
                    raise KeysUnavailableError(f"the endpoint answered {response.status}")
                document = await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise KeysUnavailableError(f"the endpoint cannot be read: {type(error).__name__}") from None
        return Loaded(document, lifetime(response.headers.get("Cache-Control", ""), response.headers.get("Age", "")))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    document = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        document += chunk
        if len(document) > MAX_DOCUMENT_BYTES:
            raise KeysUnavailableError(f"the JWK Set is over {MAX_DOCUMENT_BYTES} bytes")
    return bytes(document)


def lifetime(cache_control: str, age: str) -> float:
    """Seconds for which a response is fresh (RFC 9111 section 4.2.1), within bounds; ten minutes if it does not say.

    The upper bound is how long a key that the issuer withdrew may still count, so it is not the issuer's to choose.
    """
    shortest, longest = _LIFETIME_BOUNDS_SECONDS
    directives = cache_control.lower()
    if "no-store" in directives or "no-cache" in directives:
        return shortest
    found = _MAX_AGE.search(directives)
    if found is None:
        return _ASSUMED_LIFETIME_SECONDS
    spent = int(age) if _SECONDS.fullmatch(age) else 0
    return min(max(int(found[1]) - spent, shortest), longest)


def open_session() -> aiohttp.ClientSession:
    """A session for key endpoints: no cookies, no proxies from the environment, nothing is decompressed.

    A compressed body could grow past the size cap in one step, so none is asked for and none can be read.
    """
    return aiohttp.ClientSession(
        headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit_per_host=2),
        auto_decompress=False,
        trust_env=False,
    )
