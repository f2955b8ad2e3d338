"""Records of a sidecar over its admin listener: the newest first, page by page."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from authz.audit import LedgerDamagedError, LedgerUnreadableError, Recorded
from authz.export.cursor import Cursor

_PAGE: Final = 1000
_OVERLAP: Final = timedelta(minutes=10)
"""How far before the newest exported record is looked again: streams are written side by side."""


class _Index(Struct, frozen=True):
    refused: tuple[str, ...] = ()


class _Page(Struct, frozen=True):
    events: list[msgspec.Raw]
    cursor: str | None = None
    index: _Index = _Index()


class _Stated(Struct, frozen=True):
    stream: str
    about_stream: Any = None


def fetched(url: str, token: str | None, filters: dict[str, str], cursor: Cursor) -> Iterator[tuple[str, Recorded]]:
    """The records of one sidecar that pass and were not exported yet, newest first. Not from within an event loop.

    `filters` as `POST /v1/audit/search` takes them. Each record is what the sidecar has in its ledger, without the
    stream's name that the route adds. Raises LedgerUnreadableError with what it said, and LedgerDamagedError when its
    index holds what is not in its ledger: something might be missing then.
    """
    asked = dict(filters)
    if url in cursor.until:
        asked.setdefault("since", (datetime.fromisoformat(cursor.until[url]) - _OVERLAP).isoformat())
    known = cursor.after(url)
    return ((url, record) for record in _pages(url, token, asked) if record.seq > known.get(record.stream, 0))


def _pages(url: str, token: str | None, asked: dict[str, str]) -> Iterator[Recorded]:
    with asyncio.Runner() as runner:
        session = runner.run(_session(url, token))
        try:
            cursor: str | None = ""
            while cursor is not None:
                question = {**asked, "limit": _PAGE, **({"cursor": cursor} if cursor else {})}
                page = runner.run(_page(session, url, question))
                if page.index.refused:
                    raise LedgerDamagedError(f"{url}: {page.index.refused[0]}")
                yield from map(_recorded, page.events)
                cursor = page.cursor
        finally:
            runner.run(session.close())


def _recorded(raw: msgspec.Raw) -> Recorded:
    stated = msgspec.json.decode(raw, type=_Stated)
    line = bytes(raw).removesuffix(b',"stream":%b}' % msgspec.json.encode(stated.stream)) + b"}"
    # Only records of our own speak of a stream; in others the name may be a caller's, deeper down, and stays.
    if stated.about_stream is not None:
        line = line.replace(b'"about_stream":', b'"stream":', 1)
    event: dict[str, Any] = msgspec.json.decode(line)
    return Recorded(stated.stream, line, event)


async def _session(url: str, token: str | None) -> aiohttp.ClientSession:
    socket = url.removeprefix("unix:") if url.startswith("unix:") else None
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return aiohttp.ClientSession(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=120))


async def _page(session: aiohttp.ClientSession, url: str, question: dict[str, Any]) -> _Page:
    where = "http://localhost" if url.startswith("unix:") else url.rstrip("/")
    try:
        body = msgspec.json.encode(question)
        async with session.post(f"{where}/v1/audit/search", data=body, allow_redirects=False) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise LedgerUnreadableError(f"{url}: HTTP {answer.status}: {body[:500].decode('utf-8', 'replace')}")
            return msgspec.json.decode(body, type=_Page)
    except (TimeoutError, aiohttp.ClientError, msgspec.MsgspecError, ValueError) as error:
        raise LedgerUnreadableError(f"{url}: {type(error).__name__} {error}".rstrip()) from None
