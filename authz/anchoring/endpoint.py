"""An anchor that is an HTTP endpoint: `PUT <url>/<origin, percent-encoded>/<size>`, with `If-None-Match: *`.

A bucket with object lock behind a gateway, another team's store: whatever takes a body once and keeps it.
"""

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from authz.anchoring.errors import OutwardError
from authz.anchoring.outside import UNREACHABLE, printable, read_bounded
from authz.anchoring.places import check_same, escaped
from authz.anchoring.published import Published

KEEP_SECONDS: Final = 10.0

_KEPT: Final = frozenset((200, 201, 204))
_MAX_TOKEN_BYTES: Final = 8192


class _Answer(NamedTuple):
    status: int
    body: bytes


class HttpAnchor:
    """Keeps checkpoints below a URL. `token_file` is read anew each time, so that its token can be changed."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token_file: Path | None = None) -> None:
        self.name = url
        self._url = url.rstrip("/")
        self._session = session
        self._token_file = token_file

    async def keep(self, published: Published) -> None:
        """See Anchor."""
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await self._keep(published)
        except TimeoutError:
            raise OutwardError(f"no answer within {KEEP_SECONDS:.0f} seconds") from None

    async def _keep(self, published: Published) -> None:
        url = f"{self._url}/{escaped(published.checkpoint.origin)}/{published.checkpoint.size}"
        headers = await self._authorization()
        written = {"If-None-Match": "*", "Content-Type": "text/plain; charset=utf-8"}
        answer = await self._send("PUT", url, {**headers, **written}, published.note)
        if answer.status in _KEPT:
            return
        if answer.status != 412:
            raise OutwardError(f"it answered {answer.status} to the PUT: {printable(answer.body)}")
        held = await self._send("GET", url, headers)
        if held.status != 200:
            raise OutwardError(f"it holds something already and answered {held.status} to the GET of it")
        check_same(held.body, published, url)

    async def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> _Answer:
        # `encoded`: the name of the log stays one segment, its slashes escaped.
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method, target, data=body, headers=headers, allow_redirects=False
            ) as response:
                return _Answer(response.status, await read_bounded(response))
        except UNREACHABLE as error:
            raise OutwardError(f"it cannot be reached: {type(error).__name__}") from None

    async def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = await asyncio.to_thread(_read_token, self._token_file)
        except (OSError, UnicodeDecodeError) as error:
            raise OutwardError(f"{self._token_file} cannot be read: {type(error).__name__}") from None
        return {"Authorization": f"Bearer {token}"}


def _read_token(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
