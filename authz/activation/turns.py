"""Long work on the event loop, in turns with everybody else's."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

_TURN_SECONDS: Final = 0.002


async def in_turns(steps: Iterator[None]) -> None:
    """Take small steps for two milliseconds at a time."""
    due = time.perf_counter() + _TURN_SECONDS
    for _ in steps:
        if time.perf_counter() > due:
            await asyncio.sleep(0)
            due = time.perf_counter() + _TURN_SECONDS
