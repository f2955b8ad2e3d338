"""A small typed client of a sidecar. It fails closed: whatever is not a clear answer raises."""

from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from msgspec import Struct

from authz.core import AuthzError, Entity

_DEADLINE_SECONDS = 5.0


class CouldNotDecideError(AuthzError):
    """There is no answer: the sidecar refused the question, could not decide, or was not reached."""

    code = "could_not_decide"


class Answer(Struct, frozen=True):
    """The answer to one question; `context` is there when an explanation was asked for."""

    allow: bool
    context: dict[str, Any] = {}


class AdminRefusedError(AuthzError):
    """The admin listener of a sidecar did not do what it was asked, or was not reached."""

    code = "admin_refused"


class _Body(Struct):
    decision: bool
    context: dict[str, Any] = {}


class AuthzClient:
    """Asks a sidecar over AuthZEN 1.0. Use it as an asynchronous context manager; it keeps connections."""

    def __init__(self, url: str, *, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._url = url.rstrip("/") if not url.startswith("unix:") else "http://localhost"
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._deadline = aiohttp.ClientTimeout(total=deadline_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._deadline)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def evaluate(
        self,
        subject: Entity,
        action: str,
        resource: Entity,
        *,
        token: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """One evaluation. Raises CouldNotDecideError when there is no clear answer."""
        if self._session is None:
            raise CouldNotDecideError("use the client in an `async with` block")
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self._url}/access/v1/evaluation{'?explain=true' if explain else ''}"
        try:
            body = msgspec.json.encode({"subject": subject, "action": {"name": action}, "resource": resource})
            # A redirect is not followed: an answer from elsewhere is not the sidecar's, and the token is not for it.
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return _read(response.status, await response.read())
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise CouldNotDecideError(f"{self._url}: {type(error).__name__} {error}".rstrip()) from None


def _read(status: int, body: bytes) -> Answer:
    if status != 200:
        raise CouldNotDecideError(f"HTTP {status}: {body[:500].decode('utf-8', 'replace')}")
    try:
        answer = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CouldNotDecideError(f"the answer cannot be read: {error}") from None
    return Answer(answer.decision, answer.context)


async def admin_post(
    url: str, path: str, document: Any, token: str | None = None, *, deadline_seconds: float = 30.0
) -> dict[str, Any]:
    """Ask a sidecar's admin listener to do something; what it answered. `url`: http://HOST:PORT or unix:PATH.

    Raises AdminRefusedError with what it said. A redirect is not followed: the token is not for anybody else.
    """
    socket = url.removeprefix("unix:") if url.startswith("unix:") else None
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    where = ("http://localhost" if socket else url.rstrip("/")) + path
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=deadline_seconds)
            ) as session,
            session.post(where, data=msgspec.json.encode(document), headers=headers, allow_redirects=False) as answer,
        ):
            body = await answer.read()
            if answer.status != 200:
                raise AdminRefusedError(f"{url}: HTTP {answer.status}: {body[:500].decode('utf-8', 'replace')}")
            return msgspec.json.decode(body, type=dict[str, Any])
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        raise AdminRefusedError(f"{url}: {type(error).__name__} {error}".rstrip()) from None
