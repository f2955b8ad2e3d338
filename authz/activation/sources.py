"""Where bundles come from: a file that is looked at, or a URL that is asked as OPA's bundle protocol has it.

Any web server or object storage will do: `ETag` and `If-None-Match` keep a poll cheap, and one that knows OPA's long
polling (`Prefer: wait`) answers when there is something new.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp

from authz.activation.errors import SourceError, TruncatedError
from authz.config import LOOPBACK_HOSTS, PolicySettings
from authz.core import ConfigurationError

_FETCH_SECONDS: Final = 60.0
_LONG_POLLING: Final = "application/vnd.openpolicyagent.bundles"


class Fetched(NamedTuple):
    """What a look at the source gave. `archive` is None when it is what it was; `held`: the source held the request."""

    archive: bytes | None
    held: bool = False


class BundleSource(Protocol):
    """One place that bundles come from."""

    name: str

    async def look(self) -> Fetched:
        """The bundle if it is another one than at the last look. Raises SourceError, TruncatedError."""
        ...

    def forget(self) -> None:
        """Give the bundle again at the next look, whether it is another one or not."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def source_in(policy: PolicySettings) -> BundleSource:
    """The source that is configured. Raises ConfigurationError."""
    stated = policy.source or ""
    if stated.startswith(("http://", "https://")):
        return UrlSource(policy)
    if "://" in stated:
        raise ConfigurationError(f"policy.source: {stated} is neither a file nor an http(s) URL")
    return FileSource(Path(stated), policy.max_bytes)


class FileSource:
    """A file, replaced as a whole by whoever deploys. Its content counts, not its times."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.name = str(path)
        self._path = path
        self._max_bytes = max_bytes
        self._seen = ""
        self._stat: tuple[int, int, int] | None = None

    async def look(self) -> Fetched:
        """See BundleSource. The file is read only if it was replaced or written to."""
        return Fetched(await asyncio.to_thread(self._look))

    def forget(self) -> None:
        """See BundleSource."""
        self._seen, self._stat = "", None

    async def close(self) -> None:
        """See BundleSource."""

    def _look(self) -> bytes | None:
        try:
            found = self._path.stat()
            stat = (found.st_ino, found.st_size, found.st_mtime_ns)
            if stat == self._stat:
                return None
            with self._path.open("rb") as file:
                # One byte more than is allowed: the examination says that it is too large.
                archive = file.read(self._max_bytes + 1)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from None
        self._stat = stat
        digest = hashlib.sha256(archive).hexdigest()
        if digest == self._seen:
            return None
        self._seen = digest
        return archive


class UrlSource:
    """An HTTP endpoint. Redirects are not followed: the operator named the host, and the token is for no other."""

    def __init__(self, policy: PolicySettings) -> None:
        parts = urlsplit(policy.source or "")
        if parts.username or parts.password:
            raise ConfigurationError("policy.source: put credentials into policy.token_file, not into the URL")
        safe = parts.scheme == "https" or (parts.hostname or "") in LOOPBACK_HOSTS
        if not safe and (not policy.keys or policy.token_file):
            raise ConfigurationError(
                "policy.source: plain http is for signed bundles (policy.keys) without a token; use https"
            )
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._url = policy.source or ""
        self._policy = policy
        self._etag = ""
        self._seen = ""
        self._long_polling = False
        self._session: aiohttp.ClientSession | None = None

    async def look(self) -> Fetched:
        """See BundleSource."""
        wait = self._policy.long_poll_seconds if self._long_polling and self._etag else 0
        headers = {"Prefer": "modes=snapshot" + (f";wait={wait}" if wait else ""), **await self._authorization()}
        if self._etag:
            headers["If-None-Match"] = self._etag
        try:
            timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS + wait)
            async with self._opened().get(
                self._url, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return await self._read(response, held=bool(wait))
        except aiohttp.ClientPayloadError as error:
            raise TruncatedError(f"{self.name}: the download ended early: {type(error).__name__}") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise SourceError(f"{self.name}: {type(error).__name__}") from None

    def forget(self) -> None:
        """See BundleSource."""
        self._seen = self._etag = ""

    async def close(self) -> None:
        """See BundleSource."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, response: aiohttp.ClientResponse, *, held: bool) -> Fetched:
        if response.status == 304 and self._etag:
            return Fetched(None, held)
        if response.status != 200:
            raise SourceError(f"{self.name}: it answered {response.status}")
        archive = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            archive += chunk
            if len(archive) > self._policy.max_bytes:
                break
        self._etag = response.headers.get("ETag", "")
        self._long_polling = bool(self._policy.long_poll_seconds) and response.content_type == _LONG_POLLING
        digest = hashlib.sha256(archive).hexdigest()
        if digest == self._seen:
            return Fetched(None, held)
        self._seen = digest
        return Fetched(bytes(archive), held)

    async def _authorization(self) -> dict[str, str]:
        """Read for every request: a token that is replaced on the disk counts at once."""
        if self._policy.token_file is None:
            return {}
        try:
            token = await asyncio.to_thread(Path(self._policy.token_file).read_text, "ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"policy.token_file: cannot be read: {type(error).__name__}") from None
        return {"Authorization": f"Bearer {token.strip()}"}

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Nothing is decompressed on the way: a bundle is gzip itself, and its own limits are on what it holds.
            self._session = aiohttp.ClientSession(
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
