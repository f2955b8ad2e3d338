"""One decision stream, from messages to answers. No HTTP library: text comes in, text goes out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from authz.config import StreamSettings
from authz.core import (
    REFUSALS,
    AuthzError,
    BadRequestError,
    Decision,
    DecisionPoint,
    Evaluation,
    Kind,
    TooLargeError,
    read_evaluation,
    read_evaluations,
)
from authz.http.stream.asking import Asker
from authz.http.stream.changes import Changes
from authz.http.stream.counted import Counted
from authz.http.stream.messages import (
    Message,
    UnreadableError,
    read_message,
    write_answer,
    write_batch,
    write_refusal,
    write_unsubscribed,
)
from authz.http.stream.room import Room
from authz.http.stream.standing import Send, Standing, Subscriptions
from authz.metrics import OTHER


class Bounds(NamedTuple):
    """How much one stream may ask for. `at_once`: so many messages of all streams together are being answered."""

    stream: StreamSettings
    batch_items: int
    at_once: Room


class Session:
    """Answers the messages of one stream, each as soon as it can be answered, and only so many at once.

    `fail` ends the stream: something that its client relies on does not hold any more.
    """

    def __init__(
        self,
        decisions: DecisionPoint,
        asker: Asker,
        send: Send,
        bounds: Bounds,
        changes: Changes,
        fail: Callable[[str], None],
    ) -> None:
        self.counted = Counted()
        self._decisions = decisions
        self._asker = asker
        self._send = send
        self._bounds = bounds
        self._subscriptions = Subscriptions(decisions, changes, send, self.counted, fail)
        self._working: set[asyncio.Task[None]] = set()
        self._pending: set[int] = set()
        self._ending = False
        self._room: asyncio.Event | None = None
        self._does: dict[str, Callable[[Message], Awaitable[tuple[bytes, bool]]]] = {
            "evaluation": self._evaluation,
            "evaluations": self._evaluations,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    async def received(self, text: str) -> None:
        """Begin with one message; returns when there is room for another, and so whoever reads waits until then."""
        await self._bounds.at_once.enter()
        if self._ending:
            self._bounds.at_once.leave()
            return
        task = asyncio.create_task(self._answer(text))
        self._working.add(task)
        task.add_done_callback(self._done)
        if len(self._working) >= self._bounds.stream.in_flight:
            self._room = asyncio.Event()
            await self._room.wait()

    async def end(self) -> None:
        """Begin with nothing more, and return when all that was begun with is answered and recorded."""
        self._ending = True
        if self._working:
            await asyncio.wait(self._working)
        await self._subscriptions.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._bounds.at_once.leave()
        self._working.discard(task)
        if self._room is not None:
            self._room.set()
            self._room = None
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger("authz.http.stream").error("internal_fault", exc_info=error)

    async def _answer(self, text: str) -> None:
        kind, message_id = OTHER, None
        try:
            message = read_message(text)
            kind, message_id = message.kind, self._claimed(message)
            try:
                answer, good = await self._does[kind](message)
            finally:
                self._pending.discard(message_id)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the unexpected is an error, never an allow
            answer, good = _refused(self._free(message_id, error), error), False
        try:
            await self._send(answer)
        except ConnectionError:
            self.counted.unsent += 1
            return
        self.counted.answer(kind, good=good)

    def _claimed(self, message: Message) -> int:
        """The message's id, its own until it is answered. Raises UnreadableError, which then carries no id."""
        taken = message.id in self._pending
        if message.kind == "unsubscribe":
            if taken:
                raise UnreadableError(f"id: {message.id} is not answered yet")
        elif taken or message.id in self._subscriptions:
            raise UnreadableError(f"id: {message.id} is in use on this stream")
        self._pending.add(message.id)
        return message.id

    def _free(self, message_id: int | None, error: Exception) -> int | None:
        """The id to refuse a message under: never one under which another answer is awaited."""
        if not isinstance(error, UnreadableError):
            return message_id
        return None if error.id in self._pending or error.id in self._subscriptions else error.id

    async def _evaluation(self, message: Message) -> tuple[bytes, bool]:
        decision = await self._decisions.decide(self._asker.asked(read_evaluation(message.body)))
        return write_answer(message.id, decision, tells_id=message.tells_id), decision.kind is not Kind.UNDECIDED

    async def _evaluations(self, message: Message) -> tuple[bytes, bool]:
        sent = read_evaluations(message.body, self._bounds.batch_items)
        if isinstance(sent, Evaluation):
            return await self._evaluation(message)
        batch = await self._decisions.decide_all(self._asker.all_asked(sent.items), until=sent.until)
        good = all(isinstance(each, Decision) and each.kind is not Kind.UNDECIDED for each in batch.answers)
        return write_batch(message.id, batch, tells_id=message.tells_id), good

    async def _subscribe(self, message: Message) -> tuple[bytes, bool]:
        """A question that could not be decided does not stand: its answer says why, and it can be asked again."""
        most = self._bounds.stream.subscriptions
        if len(self._subscriptions) >= most:
            raise TooLargeError(f"subscribe: {most} subscriptions are stream.subscriptions")
        question = self._asker.asked(read_evaluation(message.body))
        standing = Standing(message.id, question, tells_id=message.tells_id)
        self._subscriptions.add(standing)
        decision = None
        try:
            decision = await self._decisions.decide(question)
        finally:
            if decision is None or decision.kind is Kind.UNDECIDED:
                self._subscriptions.remove(message.id)
        if decision.kind is not Kind.UNDECIDED:
            self._subscriptions.settle(standing, decision)
        return write_answer(message.id, decision, tells_id=message.tells_id), decision.kind is not Kind.UNDECIDED

    async def _unsubscribe(self, message: Message) -> tuple[bytes, bool]:
        if not self._subscriptions.remove(message.id):
            raise BadRequestError(f"unsubscribe: {message.id} is no subscription of this stream")
        return write_unsubscribed(message.id), True


def _refused(message_id: int | None, error: Exception) -> bytes:
    """What stands in place of an answer: a 4xx that names the field, or a 503 that tells nothing."""
    status = REFUSALS.get(error.code) if isinstance(error, AuthzError) else None
    if not isinstance(error, AuthzError) or status is None:
        structlog.get_logger("authz.http.stream").error("internal_fault", exc_info=error)
        return write_refusal(message_id, 503, "internal", "The service could not decide.")
    return write_refusal(message_id, status, error.code, str(error))
