"""Several ledgers as one: their events merged in order, each with its instance, and who could not be asked said."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

from authz.audit import LedgerUnreadableError
from authz.replicas.source import Asked, Event, Source


class Missing(NamedTuple):
    """A replica that could not be asked, or not to the end: the answer is without it."""

    instance: str
    why: str


class Fleet:
    """All ledgers that are asked. `missing` and `refused` grow while they are: look at them afterwards."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.missing: list[Missing] = []
        self._sources = sources

    @property
    def refused(self) -> list[str]:
        """Rows of an index that are not what lies in its ledger, a sentence each. They were not answered."""
        return [f"{source.name}: {each}" for source in self._sources for each in source.refused]

    def events(self, asked: Asked, page: int = 1000, after: str | None = None) -> Iterator[Event]:
        """What matches at all of them, newest first. Each event names its `instance`. `after`: as in Source.

        Raises BadRequestError, and LedgerUnreadableError when none of them could be asked.
        """
        found = [self._of(source, asked, page, after) for source in self._sources]
        with ThreadPoolExecutor(len(found)) as threads:  # one that does not answer must not make the others wait
            firsts = list(threads.map(_first, found))
        if len(self.missing) == len(self._sources):
            raise LedgerUnreadableError("; ".join(each.why for each in self.missing))
        return heapq.merge(*firsts, key=_position, reverse=True)

    async def tail(self, asked: Asked, last: int) -> AsyncIterator[Event]:
        """The last events of each, and then what comes from any of them, as it arrives; ends when all are missing."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(1000)
        tasks = [asyncio.create_task(self._follow(source, asked, last, queue)) for source in self._sources]
        left = len(tasks)
        try:
            while left:
                event = await queue.get()
                if event is None:
                    left -= 1
                else:
                    yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            task.result()

    def _of(self, source: Source, asked: Asked, page: int, after: str | None) -> Iterator[Event]:
        try:
            for event in source.events(asked, page, after):
                yield {**event, "instance": source.name}
        except LedgerUnreadableError as error:
            self.missing.append(Missing(source.name, str(error)))

    async def _follow(self, source: Source, asked: Asked, last: int, queue: "asyncio.Queue[Event | None]") -> None:
        try:
            async for event in source.tail(asked, last):
                await queue.put({**event, "instance": source.name})
        except LedgerUnreadableError as error:
            self.missing.append(Missing(source.name, str(error)))
        finally:
            await queue.put(None)


def _first(events: Iterator[Event]) -> Iterator[Event]:
    """The same events; the first of them is there when this returns."""
    first = next(events, None)
    return iter(()) if first is None else chain((first,), events)


def _position(event: Event) -> tuple[str, str, int, str]:
    return event["ts"], event["stream"], event["seq"], event["instance"]
