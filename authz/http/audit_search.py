"""Searching the ledger over the admin listener.

GET  /v1/audit/events?FILTERS&limit=&cursor=&from_segments=   a page, newest first
POST /v1/audit/search   {filters..., "limit", "cursor"}      the same, for a clear user ID: that is in no URL
GET  /v1/audit/tail?FILTERS&last=                             one event a line, from now on, until the client goes

Each is recorded as one `admin.access`, whatever it gives.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import web

from authz import audit
from authz.core import BadRequestError
from authz.gateways import Reply, RequestHead, refusal
from authz.http.answers import carried
from authz.metrics import AUDIT_INDEX_REFUSED_TOTAL
from authz.pdp import Pdp

MOST: Final = 1000
"""Events on a page, and from before the beginning of a tail."""

_AT_ONCE: Final = 2
"""Threads that search: what is in memory, and what it takes from decisions, is bounded."""

_TAILS: Final = 16
_TAIL_SECONDS: Final = 0.25
_BEAT_SECONDS: Final = 10.0
"""An empty line when nothing else was sent for so long: whoever went is noticed, whoever listens knows it is alive."""

_PSEUDONYM: Final = "h1:"

_log = structlog.get_logger("authz.http.audit_search")
_Result = TypeVar("_Result")


class SearchRoutes:
    """Finds events off the event loop; `close` ends the tails."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tails = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End what does not end by itself."""
        self._closed.set()

    async def events(self, head: RequestHead) -> Reply:
        """A page, by the query. Raises BadRequestError, naming the parameter."""
        asked = dict(parse_qsl(head.target.partition("?")[2], keep_blank_values=True))
        return await self._page(_without_clear_subject(asked))

    async def search(self, body: bytes, _who: str) -> Reply:
        """A page, by a body with the same names. Raises BadRequestError, which does not repeat what was sent."""
        try:
            asked = msgspec.json.decode(body, type=dict[str, str | int | bool])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadRequestError("body: must be one object of filters, each with a text") from None
        return await self._page(
            {name: value if isinstance(value, str) else _text(value) for name, value in asked.items()}
        )

    async def tail(self, head: RequestHead, request: web.BaseRequest) -> Reply | web.StreamResponse:
        """Events as they become durable, as JSON lines. Raises BadRequestError."""
        asked = _without_clear_subject(dict(parse_qsl(head.target.partition("?")[2], keep_blank_values=True)))
        last = _number("last", asked.pop("last", "0"), 0)
        _refuse(asked, "limit", "cursor", "from_segments", "until")
        if self._tails >= _TAILS:
            return refusal(head, 503, "overloaded", f"{_TAILS} tails are being sent already")
        self._tails += 1
        try:
            tail = await self._in_turn(lambda: self._pdp.audit_tail(**_filters(asked)))
            first = await self._in_turn(lambda: tail.before(last)) if last else []
            return await self._send(head, request, tail, first)
        finally:
            self._tails -= 1

    async def _page(self, asked: dict[str, str]) -> Reply:
        from_segments = _flag("from_segments", asked.pop("from_segments", "false"))
        limit, after = _number("limit", asked.pop("limit", "100"), 1), asked.pop("cursor", None)
        page = await self._in_turn(
            lambda: self._pdp.audit_page(limit=limit, after=after, from_segments=from_segments, **_filters(asked))
        )
        for refused in page.index.refused:
            AUDIT_INDEX_REFUSED_TOTAL.inc()
            _log.error("index_row_refused", row=refused)
        return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(page))

    async def _send(
        self, head: RequestHead, request: web.BaseRequest, tail: audit.LiveTail, first: list[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", **carried(head)})
        await response.prepare(request)
        try:
            await self._follow(request, response, tail, first)
        except (ConnectionError, audit.LedgerUnreadableError, OSError) as error:
            # The head is out: all that is left to say is that the answer does not end as it should.
            _log.info("tail_ended", why=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _follow(
        self, request: web.BaseRequest, response: web.StreamResponse, tail: audit.LiveTail, lines: list[bytes]
    ) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time() - _BEAT_SECONDS  # the first beat says at once that it has begun
        while not self._closed.is_set() and request.transport is not None:
            if lines or loop.time() >= sent_at + _BEAT_SECONDS:
                await response.write(b"".join(line + b"\n" for line in lines) or b"\n")
                sent_at = loop.time()
            await self._pause()
            lines = await asyncio.to_thread(tail.read)
        await response.write_eof()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_TAIL_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _in_turn(self, work: Callable[[], _Result]) -> _Result:
        async with self._turns:
            return await asyncio.to_thread(work)


def _filters(asked: Mapping[str, str]) -> dict[str, Any]:
    """The filters of `get_audit_events`."""
    _refuse(asked, "path", "params", "pseudonyms", "after")
    params = {name.removeprefix("param."): value for name, value in asked.items() if name.startswith("param.")}
    filters = {name: value for name, value in asked.items() if not name.startswith("param.")}
    return {**filters, "params": params} if params else filters


def _refuse(asked: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name in asked:
            raise BadRequestError(f"{name}: is not a filter here")


def _without_clear_subject(asked: dict[str, str]) -> dict[str, str]:
    if not asked.get("subject", _PSEUDONYM).startswith(_PSEUDONYM):
        raise BadRequestError(
            "subject: a clear id must not travel in a URL; give the pseudonym, or POST /v1/audit/search with the id"
        )
    return asked


def _text(value: str | int | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _number(name: str, value: str, least: int) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 4 and least <= int(value) <= MOST):
        raise BadRequestError(f"{name}: must be a whole number from {least} to {MOST}")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequestError(f"{name}: must be true or false")
    return value == "true"
