"""What comes up in one turn of the event loop is answered as one: half the work of answering each by itself.

Nobody waits longer than that turn: whoever has no company by its end is answered alone.
"""

import asyncio
from typing import Final

from authz.core import Answer, AnswerAll, Policy, Ready

_MOST: Final = 64
"""More at once would cost each of them as much, and hold up the others for longer (see EmbeddedPolicy)."""

_Waiting = list[tuple[Ready, "asyncio.Future[Answer]"]]


class LoopTurns:
    """Implements core.Turns on the running event loop."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Policy, AnswerAll], _Waiting] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._asking = 0

    async def share(self, policy: Policy, ready: Ready, answer_all: AnswerAll) -> Answer:
        """See core.Turns."""
        self._asking += 1
        try:
            if self._asking == 1:
                await asyncio.sleep(0)  # those whose requests were read in the same turn ask now
            if self._asking == 1:
                (answer,) = await answer_all(policy, (ready,))
                return answer
            return await self._next_turn(policy, ready, answer_all)
        finally:
            self._asking -= 1

    def _next_turn(self, policy: Policy, ready: Ready, answer_all: AnswerAll) -> "asyncio.Future[Answer]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._end_turn)
        self._waiting.setdefault((policy, answer_all), []).append((ready, answer))
        return answer

    def _end_turn(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for (policy, answer_all), asked in waiting.items():
            for start in range(0, len(asked), _MOST):
                task = asyncio.create_task(_answer(policy, answer_all, asked[start : start + _MOST]))
                self._working.add(task)
                task.add_done_callback(self._working.discard)


async def _answer(policy: Policy, answer_all: AnswerAll, asked: _Waiting) -> None:
    """Give each its answer. Who has gone meanwhile is recorded all the same."""
    try:
        answers = await answer_all(policy, [ready for ready, _ in asked])
        given = list(zip(asked, answers, strict=True))
    except Exception as error:  # noqa: BLE001 - whatever it was, each of those who wait has to hear of it
        for _, waiting in asked:
            if not waiting.done():
                waiting.set_exception(error)
        return
    except asyncio.CancelledError:
        for _, waiting in asked:
            waiting.cancel()
        raise
    for (_, waiting), answer in given:
        if not waiting.done():
            waiting.set_result(answer)
