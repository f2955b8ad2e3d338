"""Room for so many at once, whoever they are; who comes first gets in first."""

import asyncio
from collections import deque


class Room:
    """As asyncio.Semaphore, which in Python 3.11 walks past all it has woken already whenever it wakes one more.

    With the answers of a whole commit at once that took a tenth of the time of busy streams.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place, when there is one."""
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it had been given a place in the meantime
            raise

    def leave(self) -> None:
        """Give the place back, or on to who has waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
