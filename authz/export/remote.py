"""Records of a sidecar over its admin listener: the newest first, page by page."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from msgspec import Struct

from authz.audit import LedgerUnreadableError, Recorded
from authz.core import BadRequestError
from authz.export.cursor import Cursor

_PAGE: Final = 1000
_OVERLAP: Final = timedelta(minutes=10)
"""How far before the newest exported record is looked again: streams are written side by side."""


class _Page(Struct):
    events: list[msgspec.Raw]


class _Stated(Struct):
    id: str
    stream: str


def fetched(url: str, token: str | None, filters: dict[str, str], cursor: Cursor) -> Iterator[tuple[str, Recorded]]:
    """The records of one sidecar that pass and were not exported yet, newest first. Not from within an event loop.

    `filters` as the admin route takes them. Each record is what the sidecar has in its ledger, without the stream's
    name that the route adds. Raises LedgerUnreadableError with what it said, BadRequestError for a clear subject: that
    must not travel in a URL.
    """
    subject = filters.get("subject")
    if subject is not None and not subject.startswith("h1:"):
        raise BadRequestError("subject: a clear id must not travel in a URL; give the pseudonym, or export on the node")
    asked = dict(filters)
    if url in cursor.until:
        asked.setdefault("since", (datetime.fromisoformat(cursor.until[url]) - _OVERLAP).isoformat())
    known = cursor.after(url)
    return ((url, record) for record in _pages(url, token, asked) if record.seq > known.get(record.stream, 0))


def _pages(url: str, token: str | None, asked: dict[str, str]) -> Iterator[Recorded]:
    with asyncio.Runner() as runner:
        session = runner.run(_session(url, token))
        try:
            last: str | None = None
            while True:
                query = {**asked, "limit": str(_PAGE), **({"cursor": last} if last else {})}
                events = runner.run(_page(session, url, query))
                yield from map(_recorded, events)
                if len(events) < _PAGE:
                    return
                last = msgspec.json.decode(events[-1], type=_Stated).id
        finally:
            runner.run(session.close())


def _recorded(raw: msgspec.Raw) -> Recorded:
    stream = msgspec.json.decode(raw, type=_Stated).stream
    line = bytes(raw).removesuffix(b',"stream":%b}' % msgspec.json.encode(stream)) + b"}"
    event: dict[str, Any] = msgspec.json.decode(line)
    return Recorded(stream, line, event)


async def _session(url: str, token: str | None) -> aiohttp.ClientSession:
    socket = url.removeprefix("unix:") if url.startswith("unix:") else None
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return aiohttp.ClientSession(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=120))


async def _page(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> list[msgspec.Raw]:
    where = "http://localhost" if url.startswith("unix:") else url.rstrip("/")
    try:
        async with session.get(f"{where}/v1/audit/events?{urlencode(query)}", allow_redirects=False) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise LedgerUnreadableError(f"{url}: HTTP {answer.status}: {body[:500].decode('utf-8', 'replace')}")
            return msgspec.json.decode(body, type=_Page).events
    except (TimeoutError, aiohttp.ClientError, msgspec.MsgspecError, ValueError) as error:
        raise LedgerUnreadableError(f"{url}: {type(error).__name__} {error}".rstrip()) from None
