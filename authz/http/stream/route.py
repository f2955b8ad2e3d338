"""`GET /v1/stream`: the handshake, the life of a stream, and how all of them end."""

import asyncio
import time
from typing import Final, NamedTuple

import structlog
from aiohttp import web

from authz.core import (
    AuditUnavailableError,
    AuthzError,
    BadRequestError,
    DecisionPoint,
    OverloadedError,
    client_text,
)
from authz.gateways import Reply, RequestHead, provenance, refusal
from authz.http.answers import Answer, carried
from authz.http.asking import written
from authz.http.callers import Callers
from authz.http.errors import CallerForbiddenError, MethodNotSupportedError
from authz.http.stream.asking import Asker
from authz.http.stream.changes import Changes
from authz.http.stream.connection import Connection
from authz.http.stream.counted import ending, opening
from authz.http.stream.messages import SUBPROTOCOL
from authz.http.stream.session import Bounds, Session
from authz.metrics import WS_CONNECTIONS_TOTAL, WS_OPEN_CONNECTIONS

STREAM: Final = "/v1/stream"

_DRAIN_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = "5"

_log = structlog.get_logger("authz.http.stream")


class StreamRoute:
    """Opens streams for known callers, and ends them."""

    def __init__(
        self, decisions: DecisionPoint, callers: Callers, changes: Changes, bounds: Bounds, message_bytes: int
    ) -> None:
        self._decisions = decisions
        self._callers = callers
        self._changes = changes
        self._bounds = bounds
        self._message_bytes = message_bytes
        self._open: set[_Stream] = set()
        self._closing = False

    async def answer(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        """101 and a stream after it. Raises AuthzError for whoever gets none."""
        try:
            answer = await self._opened(head, request)
        except (AuditUnavailableError, OverloadedError) as error:
            reply = refusal(head, 503, error.code, client_text(error.code))
            reply.headers["Retry-After"] = _RETRY_SECONDS
            answer = Answer(reply)
        except AuthzError:
            WS_CONNECTIONS_TOTAL.labels("refused").inc()
            raise
        WS_CONNECTIONS_TOTAL.labels("accepted" if answer.upgraded else "refused").inc()
        return answer

    async def close(self) -> None:
        """End every stream: what was asked is answered first (at most 5 s), then 1001."""
        self._closing = True
        await asyncio.gather(*(self._ended(each) for each in tuple(self._open)))

    async def _opened(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        if head.method != "GET":
            raise MethodNotSupportedError(head.method, "GET")
        known, token = self._callers.identify(request, STREAM)
        connection = Connection(self._bounds.stream, self._message_bytes)
        _check_handshake(head, request, connection)
        if self._closing or len(self._open) >= self._bounds.stream.connections:
            raise OverloadedError("There are stream.connections streams open")
        whence = provenance(head.headers)
        name = self._decisions.new_id()
        told = written(whence, self._decisions.fields)
        whence["request_id"] = whence.get("request_id") or name
        asker = Asker(known.caller, token, whence)
        session = Session(self._decisions, asker, connection.send, self._bounds, self._changes, connection.fail)
        opened = _Stream(name, known.caller.name, session, connection, time.monotonic())
        # Its place is taken before anything is waited for.
        self._open.add(opened)
        try:
            await self._decisions.ledger.record(opening(self._decisions.new_id(), name, asker, told))
            await self._begun(opened, head, request)
        except BaseException:
            self._open.discard(opened)
            raise
        return Answer(Reply(101, {}), upgraded=lambda: self._lived(opened))

    async def _begun(self, opened: "_Stream", head: RequestHead, request: web.BaseRequest) -> None:
        try:
            await opened.connection.open(request, carried(head))
        except ConnectionError:
            await self._record_end(opened)
            raise BadRequestError("The client has gone") from None
        if self._closing:
            await opened.connection.close()

    async def _lived(self, opened: "_Stream") -> web.StreamResponse:
        with WS_OPEN_CONNECTIONS.track_inprogress():
            await self._run(opened)
        await self._record_end(opened)
        return opened.connection.response

    async def _run(self, opened: "_Stream") -> None:
        try:
            while (text := await opened.connection.receive()) is not None:
                await opened.session.received(text)
        finally:
            self._open.discard(opened)
            await opened.session.end()
            await opened.connection.over()

    async def _ended(self, opened: "_Stream") -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await opened.session.end()
        except TimeoutError:
            _log.warning("stream_not_drained", seconds=_DRAIN_SECONDS, connection=opened.name)
        await opened.connection.close()

    async def _record_end(self, opened: "_Stream") -> None:
        new_id, counted, connection = self._decisions.new_id, opened.session.counted, opened.connection
        ids, seconds = (new_id(), new_id(), new_id()), time.monotonic() - opened.started
        events = ending(ids, opened.name, opened.caller, counted, seconds, connection.code, connection.fault)
        try:
            await self._decisions.ledger.record_all(events)
        except (AuditUnavailableError, OverloadedError) as error:
            _log.error("stream_end_unrecorded", code=error.code, connection=opened.name)
        sent = sum(counted.answered.values())
        _log.info(
            "stream_ended", connection=opened.name, code=connection.code, fault=connection.fault or None, sent=sent
        )


class _Stream(NamedTuple):
    """One stream that is open."""

    name: str
    caller: str
    session: Session
    connection: Connection
    started: float


def _check_handshake(head: RequestHead, request: web.BaseRequest, connection: Connection) -> None:
    """Raises BadRequestError or CallerForbiddenError."""
    if head.headers.getall("Origin", []):
        # No other defence keeps a web page from opening a stream to this machine's loopback (RFC 6455 section 10.2).
        raise CallerForbiddenError("Origin: browsers may not open streams")
    offered = ",".join(head.headers.getall("Sec-WebSocket-Protocol", [])).split(",")
    if SUBPROTOCOL not in [each.strip() for each in offered]:
        raise BadRequestError(f"Sec-WebSocket-Protocol: must offer {SUBPROTOCOL}")
    if not connection.can_open(request):
        raise BadRequestError("Upgrade: must be a WebSocket handshake of version 13 (RFC 6455 section 4.2.1)")
