"""`GET /v1/stream`: the handshake, the life of a stream, and how all of them end."""

import asyncio
import time
from typing import Any, Final

import structlog
from aiohttp import web

from authz.core import (
    AuditUnavailableError,
    AuthzError,
    BadRequestError,
    DecisionPoint,
    OverloadedError,
    client_text,
    shortened,
)
from authz.gateways import Reply, RequestHead, provenance, refusal
from authz.http.answers import Answer
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
        self._open: dict[Session, Connection] = {}
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
        await asyncio.gather(*(self._ended(*each) for each in tuple(self._open.items())))

    async def _opened(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        if head.method != "GET":
            raise MethodNotSupportedError(f"{head.method} is not supported here; use GET")
        known, token = self._callers.identify(request, STREAM)
        connection = Connection(self._bounds.stream, self._message_bytes)
        _check_handshake(head, request, connection)
        if self._closing or len(self._open) >= self._bounds.stream.connections:
            raise OverloadedError("There are stream.connections streams open")
        name = self._decisions.new_id()
        whence = provenance(head.headers)
        told = self._told(whence.get("ip"), whence.get("user_agent"), whence.get("request_id"))
        whence["request_id"] = whence.get("request_id") or name
        asker = Asker(known.caller, token, whence)
        session = Session(self._decisions, asker, connection.send, self._bounds, self._changes, connection.fail)
        # Its place is taken before anything is waited for.
        self._open[session] = connection
        try:
            await self._decisions.ledger.record(opening(self._decisions.new_id(), name, asker, told))
            await connection.open(request)
        except BaseException:
            del self._open[session]
            raise
        started = time.monotonic()

        async def upgraded() -> web.StreamResponse:
            with WS_OPEN_CONNECTIONS.track_inprogress():
                await self._run(session, connection)
            await connection.over()
            await self._record_end(session, connection, name, known.caller.name, time.monotonic() - started)
            return connection.response

        return Answer(Reply(101, {}), upgraded=upgraded)

    async def _run(self, session: Session, connection: Connection) -> None:
        try:
            while (text := await connection.receive()) is not None:
                await session.received(text)
        finally:
            del self._open[session]
            await session.end()

    async def _ended(self, session: Session, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await session.end()
        except TimeoutError:
            _log.warning("stream_not_drained", seconds=_DRAIN_SECONDS)
        await connection.close()

    async def _record_end(
        self, session: Session, connection: Connection, name: str, caller: str, seconds: float
    ) -> None:
        new_id = self._decisions.new_id
        ids = (new_id(), new_id(), new_id())
        events = ending(ids, name, caller, session.counted, seconds, connection.code, connection.fault)
        try:
            await self._decisions.ledger.record_all(events)
        except (AuditUnavailableError, OverloadedError) as error:
            _log.error("stream_end_unrecorded", code=error.code, connection=name)
        sent = sum(session.counted.answered.values())
        _log.info("stream_ended", connection=name, code=connection.code, fault=connection.fault or None, sent=sent)

    def _told(self, ip: str | None, user_agent: str | None, request_id: str | None) -> dict[str, Any]:
        fields = self._decisions.fields
        told = {
            "ip": fields.ip(ip),
            "user_agent": fields.user_agent(user_agent),
            "request_id": shortened(request_id),
        }
        return {name: value for name, value in told.items() if value is not None}


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
