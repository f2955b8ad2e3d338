"""One ledger that can be asked: here, or at a replica."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import msgspec
from msgspec import Struct

from authz.audit import LedgerUnreadableError, LiveTail, Pseudonyms, events_of, moment, read_filter
from authz.client import AdminRefusedError, admin_post
from authz.core import BadRequestError

Event = dict[str, Any]

_PAGE: Final = 1000
_TAIL_SECONDS: Final = 0.25
_CONNECT_SECONDS: Final = 10.0


class Asked(Struct, frozen=True):
    """What is wanted: filters by their names, as text; route parameters apart; times absolute."""

    filters: dict[str, str] = {}
    params: dict[str, str] = {}
    from_segments: bool = False

    @classmethod
    def of(cls, filters: dict[str, Any], params: dict[str, str], *, from_segments: bool = False) -> "Asked":
        """None as a value means no such filter. Times become absolute, so that every page asks for the same.

        Raises BadRequestError.
        """
        stated = {name: str(value) for name, value in filters.items() if value is not None}
        for name in {"since", "until"} & stated.keys():
            stated[name] = moment(name, stated[name])
        return cls(stated, params, from_segments)

    def document(self) -> dict[str, Any]:
        """As the admin route takes it."""
        params = {f"param.{name}": value for name, value in self.params.items()}
        return {**self.filters, **params, **({"from_segments": True} if self.from_segments else {})}


class Source(Protocol):
    """A ledger. `name`: of the instance.

    What cannot be asked raises LedgerUnreadableError; a question put wrongly raises BadRequestError.
    """

    @property
    def name(self) -> str:
        """What the instance is called among the others."""
        ...

    @property
    def refused(self) -> list[str]:
        """A sentence for each row of its index that was not what lies in the ledger, so far."""
        ...

    def events(self, asked: Asked, page: int = _PAGE, after: str | None = None) -> Iterator[Event]:
        """What matches, newest first; at most `page` at a time are fetched. `after`: a cursor or an event's id.

        Not from within an event loop.
        """
        ...

    def tail(self, asked: Asked, last: int) -> AsyncIterator[Event]:
        """The last ones, oldest first, and then what comes, without end."""
        ...


class LocalLedger:
    """The ledger in a directory of this machine. `pseudonyms`: of a clear id, where its key is at hand."""

    def __init__(self, directory: Path | None, pseudonyms: Pseudonyms | None = None) -> None:
        self.name = "here"
        self.refused: list[str] = []
        self._directory = directory
        self._pseudonyms = pseudonyms

    def events(
        self,
        asked: Asked,
        page: int = _PAGE,  # noqa: ARG002 - nothing is fetched
        after: str | None = None,
    ) -> Iterator[Event]:
        """See Source."""
        wanted = read_filter(asked.filters, asked.params, self._pseudonyms)
        return events_of(wanted, after, self._directory, from_segments=asked.from_segments, refused=self.refused)

    async def tail(self, asked: Asked, last: int) -> AsyncIterator[Event]:
        """See Source."""
        wanted = read_filter(asked.filters, asked.params, self._pseudonyms)
        try:
            tail = await asyncio.to_thread(LiveTail, self._directory, wanted)
            lines = await asyncio.to_thread(tail.before, last) if last else []
            while True:
                for line in lines:
                    yield msgspec.json.decode(line)
                await asyncio.sleep(0 if lines else _TAIL_SECONDS)
                lines = await asyncio.to_thread(tail.read)
        except OSError as error:
            raise LedgerUnreadableError(f"{error.filename}: {error.strerror}") from None


class RemoteLedger:
    """The ledger of a replica, by its admin listener: http://HOST:PORT, https://... or unix:PATH."""

    def __init__(self, url: str, token: str | None) -> None:
        self.name = url.rpartition("://")[2].rstrip("/")
        self.refused: list[str] = []
        self._url = url
        self._token = token

    def events(self, asked: Asked, page: int = _PAGE, after: str | None = None) -> Iterator[Event]:
        """See Source."""
        cursor = after
        while True:
            document = {**asked.document(), "limit": min(page, _PAGE), **({"cursor": cursor} if cursor else {})}
            try:
                found = asyncio.run(admin_post(self._url, "/v1/audit/search", document, self._token))
            except AdminRefusedError as error:
                raise LedgerUnreadableError(str(error)) from None
            self.refused += found.get("index", {}).get("refused", ())
            yield from found["events"]
            cursor = found.get("cursor")
            if cursor is None:
                return

    async def tail(self, asked: Asked, last: int) -> AsyncIterator[Event]:
        """See Source. A clear subject would travel in the URL, and is refused."""
        if not asked.filters.get("subject", "h1:").startswith("h1:"):
            raise BadRequestError("subject: give its pseudonym, h1:...; a clear id must not travel in a URL")
        socket = self._url.removeprefix("unix:") if self._url.startswith("unix:") else None
        connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=3 * _CONNECT_SECONDS)
        where = ("http://localhost" if socket else self._url.rstrip("/")) + "/v1/audit/tail"
        query = {**{name: str(value) for name, value in asked.document().items()}, "last": str(last)}
        try:
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session,
                session.get(where, params=query, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    body = await answer.read()
                    raise LedgerUnreadableError(
                        f"{self._url}: HTTP {answer.status}: {body[:500].decode('utf-8', 'replace')}"
                    )
                async for event in _lines(answer.content):
                    yield event
        except (TimeoutError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            raise LedgerUnreadableError(f"{self._url}: {type(error).__name__} {error}".rstrip()) from None
        raise LedgerUnreadableError(f"{self._url}: it has ended the tail")


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """The events; a record can be longer than what aiohttp takes for a line."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield msgspec.json.decode(line)
