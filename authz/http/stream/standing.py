"""Subscriptions: questions that stand, and are asked again when the answer may be another one. No HTTP library."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from authz.core import AccessRequest, Answered, BadRequestError, Decision, DecisionPoint, Kind
from authz.http.stream.changes import Cause, Changes
from authz.http.stream.counted import Counted
from authz.http.stream.messages import write_answer
from authz.metrics import WS_OPEN_SUBSCRIPTIONS

_AT_ONCE: Final = 64
_RETRY_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 30.0

Send = Callable[[bytes], Awaitable[None]]
"""Send one text message. Raises ConnectionError when nobody will read it."""


class Due(NamedTuple):
    """When a question is asked again by itself (seconds since the epoch), and why."""

    at: float
    cause: Cause


class Standing:
    """One subscription. `said`: allow, or None for what could not be decided. `cause`: what has changed since."""

    __slots__ = ("cause", "due", "id", "question", "said", "settled", "tells_id")

    def __init__(self, message_id: int, question: AccessRequest, *, tells_id: bool) -> None:
        self.id = message_id
        self.question = question
        self.tells_id = tells_id
        self.said: bool | None = None
        self.settled = False
        self.cause: Cause | None = None
        self.due: Due | None = None


class Subscriptions:
    """The subscriptions of one stream. While there are any, one task of its own asks again."""

    def __init__(
        self,
        decisions: DecisionPoint,
        changes: Changes,
        send: Send,
        counted: Counted,
        fail: Callable[[str], None],
    ) -> None:
        self._decisions = decisions
        self._changes = changes
        self._send = send
        self._counted = counted
        self._fail = fail
        self._standing: dict[int, Standing] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._standing)

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._standing

    def add(self, standing: Standing) -> None:
        """From here on no change is missed, also while the first answer is still being worked out."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="stream-subscriptions")
            self._changes.watch(self._changed)
        self._standing[standing.id] = standing
        WS_OPEN_SUBSCRIPTIONS.inc()

    def settle(self, standing: Standing, decision: Decision) -> None:
        """The first answer was given."""
        standing.said, standing.due = _said(decision), _ends(decision)
        standing.settled = True
        self._woken.set()

    def remove(self, message_id: int) -> bool:
        """Whether there was one."""
        found = self._standing.pop(message_id, None)
        if found is not None:
            WS_OPEN_SUBSCRIPTIONS.dec()
        if not self._standing:
            self._woken.set()
        return found is not None

    async def close(self) -> None:
        """Ask no more; what is being asked again is finished."""
        for message_id in tuple(self._standing):
            self.remove(message_id)
        self._woken.set()
        if self._task is not None:
            await self._task

    def _changed(self, cause: Cause) -> None:
        for each in self._standing.values():
            each.cause = cause
        self._woken.set()

    async def _keep(self) -> None:
        try:
            while self._standing:
                due = self._take_due()
                for start in range(0, len(due), _AT_ONCE):
                    await self._ask_again(due[start : start + _AT_ONCE])
                if not due:
                    await self._wait()
        except Exception as error:  # noqa: BLE001 - whoever relies on subscriptions has to hear that they are gone
            structlog.get_logger("authz.http.stream").error("internal_fault", exc_info=error)
            self._fail("internal")
        self._changes.unwatch(self._changed)
        self._task = None

    async def _wait(self) -> None:
        """Until something has changed, or the first of them is due."""
        due = [each.due.at for each in self._standing.values() if each.settled and each.due is not None]
        left = min(due) - self._decisions.clock.now() if due else None
        try:
            # The clock may be set in the meantime: no wait goes by it for long.
            async with asyncio.timeout(None if left is None else min(max(0.0, left), _LOOK_SECONDS)):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _take_due(self) -> list[tuple[Standing, Cause]]:
        now, taken = self._decisions.clock.now(), list[tuple[Standing, Cause]]()
        for each in self._standing.values():
            cause = each.cause
            if cause is None and each.due is not None and each.due.at <= now:
                cause = each.due.cause
            if cause is not None and each.settled:
                each.cause = each.due = None
                taken.append((each, cause))
        return taken

    async def _ask_again(self, asked: list[tuple[Standing, Cause]]) -> None:
        """One batch: one revision, one commit; nothing is spent, as nobody has asked."""
        async with self._changes.turn:
            batch = await self._decisions.decide_all(
                [each.question for each, _ in asked], since=self._decisions.clock.elapsed(), spends=False
            )
        for (each, cause), answer in zip(asked, batch.answers, strict=True):
            if self._standing.get(each.id) is each:
                await self._push(each, cause, answer)

    async def _push(self, standing: Standing, cause: Cause, answer: Answered) -> None:
        """Say it if it is another answer than the last. What cannot be decided is a denial, and is tried again."""
        before, standing.said = standing.said, _said(answer)
        standing.due = _ends(answer)
        if standing.said is None:
            standing.due = Due(self._decisions.clock.now() + _RETRY_SECONDS, cause)
        if standing.said is before:
            return
        text = write_answer(standing.id, answer, tells_id=standing.tells_id, changed=cause)
        try:
            await self._send(text)
        except ConnectionError:
            self._counted.unsent += 1
            return
        self._counted.answer("push", good=standing.said is not None)


def _said(answer: Answered) -> bool | None:
    if isinstance(answer, BadRequestError):
        return False
    return None if answer.kind is Kind.UNDECIDED else answer.allow


def _ends(answer: Answered) -> Due | None:
    until = None if isinstance(answer, BadRequestError) else answer.subject.until
    return None if until is None else Due(until, "expiry")
