"""What many requests want of the table of identities, in one transaction at a time and off the event loop."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from authz.core import AuditUnavailableError, OverloadedError
from authz.privacy.store import IdentityStore, Wanted

_T = TypeVar("_T")
_Answer = list[str | None] | AuditUnavailableError

PATIENCE_SECONDS: Final = 5.0
"""How long a request waits for a device that hangs."""


class Settling:
    """One thread for one store. While a group is being made durable the next one forms; there is no timer.

    `limit`: requests that may wait. Belongs to the event loop that uses it first.
    """

    def __init__(self, store: IdentityStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, "identities")
        self._waiting: list[tuple[Sequence[Wanted], asyncio.Future[_Answer]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    async def settle(self, wanted: Sequence[Wanted]) -> list[str | None]:
        """As `IdentityStore.settle`. Raises AuditUnavailableError, OverloadedError."""
        if self._closed:
            raise AuditUnavailableError("the table of identities is closed")
        if len(self._waiting) >= self._limit:
            raise OverloadedError(f"{self._limit} requests wait for the table of identities")
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="identities")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await future
        except TimeoutError:
            raise AuditUnavailableError("the table of identities does not answer") from None
        if isinstance(answer, AuditUnavailableError):
            raise answer
        return answer

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do something else with the store, in its thread and after what was asked before. Raises what that raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Finish what was asked, and give the file free. Once is enough, twice does no harm."""
        if self._closed:
            return
        self._closed = True
        if self._flushing is not None:
            await self._flushing
        await self.run(self._store.close)
        self._thread.shutdown()

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            answers = await self._answers([wanted for each, _ in group for wanted in each])
            at = 0
            for wanted, future in group:
                mine = answers if isinstance(answers, AuditUnavailableError) else answers[at : at + len(wanted)]
                at += len(wanted)
                # Whoever has stopped waiting still has its place in the group: nobody gets a neighbour's pseudonym.
                if not future.done():
                    future.set_result(mine)

    async def _answers(self, wanted: list[Wanted]) -> _Answer:
        try:
            return await self.run(lambda: self._store.settle(wanted))
        except sqlite3.Error as error:
            return AuditUnavailableError(f"the table of identities: {error}")
