"""A small typed client of a sidecar. It fails closed: whatever is not a clear answer raises."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from authz.core import AuthzError, Entity

_DEADLINE_SECONDS = 5.0
_Kind = TypeVar("_Kind")


class CouldNotDecideError(AuthzError):
    """There is no answer: the sidecar refused the question, could not decide, or was not reached."""

    code = "could_not_decide"


class Answer(Struct, frozen=True):
    """The answer to one question; `context` is there when an explanation was asked for."""

    allow: bool
    context: dict[str, Any] = {}


class Check(Struct, frozen=True):
    """One question of many about the same subject."""

    action: str
    resource: Entity


class Verdict(Struct, frozen=True):
    """The answer to one question with its reason (docs/reasons.md); `id` is that of its record in the ledger."""

    allow: bool
    reason: str
    id: str
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class AdminRefusedError(AuthzError):
    """The admin listener of a sidecar did not do what it was asked, or was not reached."""

    code = "admin_refused"

    def __init__(self, message: str, status: int | None = None) -> None:
        """`status`: the HTTP status, None where there was no answer."""
        super().__init__(message)
        self.status = status


class _Body(Struct):
    decision: bool
    context: dict[str, Any] = {}


class _Batch(Struct):
    evaluations: list[_Body]


class _Ruling(Struct):
    allow: bool
    reason: str
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class _Ruled(Struct):
    result: _Ruling
    decision_id: str


class AuthzClient:
    """Asks a sidecar. Use it as an asynchronous context manager; it keeps connections and never asks twice.

    `url`: http://HOST:PORT or unix:PATH. `secret`: by which the sidecar knows this caller, where it is not by the
    connection. `deadline_seconds`: for one call, all of it; what takes longer has no answer.
    """

    def __init__(self, url: str, *, secret: str | None = None, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._secret = secret
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
        document = {"subject": subject, "action": {"name": action}, "resource": resource}
        path = f"/access/v1/evaluation{'?explain=true' if explain else ''}"
        answer = await self._ask(path, document, _Body, token)
        return Answer(answer.decision, answer.context)

    async def evaluate_all(self, subject: Entity, checks: Sequence[Check], *, token: str | None = None) -> list[Answer]:
        """Many evaluations in one call, answered in their order. What is wrong with one check denies that one.

        Raises CouldNotDecideError when there is no clear answer to all of them.
        """
        if not checks:
            return []
        items = [{"action": {"name": each.action}, "resource": each.resource} for each in checks]
        answer = await self._ask("/access/v1/evaluations", {"subject": subject, "evaluations": items}, _Batch, token)
        if len(answer.evaluations) != len(checks):
            raise CouldNotDecideError(f"{len(answer.evaluations)} answers to {len(checks)} checks")
        return [Answer(each.decision, each.context) for each in answer.evaluations]

    async def decide(
        self,
        subject: Entity,
        action: str,
        resource: Entity,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Verdict:
        """One decision with its reason. `headers`: what a gateway tells of the client (X-Authz-Client-IP, ...).

        Raises CouldNotDecideError when there is no clear answer.
        """
        document = {"input": {"subject": subject, "action": {"name": action}, "resource": resource}}
        answer = await self._ask("/v1/data/authz/decision", document, _Ruled, token, headers)
        result = answer.result
        return Verdict(result.allow, result.reason, answer.decision_id, result.scopes, result.missing)

    async def _ask(
        self,
        path: str,
        document: Any,
        kind: type[_Kind],
        token: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> _Kind:
        if self._session is None:
            raise CouldNotDecideError("use the client in an `async with` block")
        fields = {**(headers or {}), "Content-Type": "application/json"}
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if self._secret is not None:
            fields["X-Authz-Caller-Token"] = self._secret
        try:
            body = msgspec.json.encode(document)
            # A redirect is not followed: an answer from elsewhere is not the sidecar's, and the token is not for it.
            async with self._session.post(
                self._url + path, data=body, headers=fields, allow_redirects=False
            ) as response:
                return _read(response.status, await response.read(), kind)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise CouldNotDecideError(f"{self._url}: {_failure(error)}") from None


def _failure(error: Exception) -> str:
    """Why there was no answer, and what a URL that is none has to look like."""
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "no address of a sidecar; write http://HOST:PORT or unix:PATH"
    return f"{type(error).__name__} {error}".rstrip()


def _read(status: int, body: bytes, kind: type[_Kind]) -> _Kind:
    if status != 200:
        raise CouldNotDecideError(f"HTTP {status}: {body[:500].decode('utf-8', 'replace')}")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CouldNotDecideError(f"the answer cannot be read: {error}") from None


async def admin_post(
    url: str, path: str, document: Any, token: str | None = None, *, deadline_seconds: float = 30.0
) -> dict[str, Any]:
    """Ask a sidecar's admin listener to do something; what it answered. `url`: http://HOST:PORT or unix:PATH.

    Raises AdminRefusedError with what it said. A redirect is not followed: the token is not for anybody else.
    """
    return _document(url, await _admin("POST", url, path, msgspec.json.encode(document), token, deadline_seconds))


async def admin_get(url: str, path: str, token: str | None = None, *, deadline_seconds: float = 30.0) -> dict[str, Any]:
    """Ask a sidecar's admin listener for something, as `admin_post`. Raises AdminRefusedError."""
    return _document(url, await _admin("GET", url, path, None, token, deadline_seconds))


async def admin_ready(url: str, token: str | None = None, *, deadline_seconds: float = 10.0) -> dict[str, Any]:
    """A sidecar's `/readyz`, whether it is ready or not, asked as `admin_post`. Raises AdminRefusedError."""
    return _document(url, await _admin("GET", url, "/readyz", None, token, deadline_seconds, answers=(200, 503)))


async def admin_delete(url: str, path: str, token: str | None = None) -> dict[str, Any]:
    """Ask a sidecar's admin listener to take something away, as `admin_post`. Raises AdminRefusedError."""
    return _document(url, await _admin("DELETE", url, path, None, token, 30.0))


async def admin_download(url: str, path: str, token: str | None = None, *, deadline_seconds: float = 30.0) -> bytes:
    """Fetch something from a sidecar's admin listener as it is, as `admin_post`. Raises AdminRefusedError."""
    return await _admin("GET", url, path, None, token, deadline_seconds)


def _document(url: str, said: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(said, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AdminRefusedError(f"{url}: the answer cannot be read: {error}") from None


async def _admin(
    method: str,
    url: str,
    path: str,
    body: bytes | None,
    token: str | None,
    deadline_seconds: float,
    answers: tuple[int, ...] = (200,),
) -> bytes:
    socket = url.removeprefix("unix:") if url.startswith("unix:") else None
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    where = ("http://localhost" if socket else url.rstrip("/")) + path
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=deadline_seconds)
            ) as session,
            session.request(method, where, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            said = await answer.read()
            if answer.status not in answers:
                raise AdminRefusedError(f"{url}: HTTP {answer.status}: {_why(said)}", answer.status)
            return said
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        raise AdminRefusedError(f"{url}: {_failure(error)}") from None


class _Problem(msgspec.Struct, frozen=True):
    """What is read of RFC 9457's problem document."""

    detail: str
    title: str = ""
    reason: str = ""


def _why(said: bytes) -> str:
    """What a refusal says in words, where it does; else as it is."""
    try:
        problem = msgspec.json.decode(said, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return said[:500].decode("utf-8", "replace")
    return f"{problem.reason or problem.title}: {problem.detail}"
