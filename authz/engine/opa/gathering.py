"""Concurrent checks become one call: the next batch forms while the last one is in flight. Nobody waits for a timer.

A batch is `data.authz.decisions`, and its answer is used whole or not at all. Where it cannot be used each check is
asked alone, so that nobody gets a neighbour's answer or error. Every check is answered by its deadline, whatever the
server does.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from authz.core import ERROR, SUPERSEDED, UNAVAILABLE, PolicyDecision, batch_document, read_decision, read_decisions
from authz.engine.guest import MAX_INPUT_BYTES
from authz.engine.opa.client import NoAnswerError, Reply, Rule, RuleFailedError
from authz.metrics import ENGINE_BATCH_CHECKS, ENGINE_REFUSED_TOTAL

FIRST_SHARE: Final = 0.5
"""How much of the deadline a call may take: what is left is for asking each check alone, if need be."""

ALONE_SHARE: Final = 0.6
"""How much of what is left then: the rest is for finding out whether the check was at fault or the server."""

_ALONE_AT_ONCE: Final = 16

_refused = {cause: ENGINE_REFUSED_TOTAL.labels(cause).inc for cause in ("open", "deadline", "no_answer", "revision")}


class Revision(Protocol):
    """What a batch has to know of the policy that its checks were made for."""

    revision: str
    takes_batches: bool
    declared_reasons: frozenset[str]


class Check:
    """One check on its way, and who waits for its answer until `due` on the loop's clock."""

    __slots__ = ("document", "due", "future", "policy")

    def __init__(self, policy: Revision, document: bytes, due: float, future: "asyncio.Future[PolicyDecision]") -> None:
        self.policy, self.document, self.due, self.future = policy, document, due, future

    def answer(self, decision: PolicyDecision) -> None:
        """Give the answer, unless there is one already or nobody waits any more."""
        if not self.future.done():
            self.future.set_result(decision)

    def refuse(self, cause: str) -> None:
        """Say that the engine is not available, or that it speaks for another revision."""
        if not self.future.done():
            _refused[cause]()
            self.future.set_result(SUPERSEDED if cause == "revision" else UNAVAILABLE)


class Gathering:
    """Checks in, answers out, one call in flight.

    `ask` makes a call, `is_alive` finds out whether the server answers at all (and opens the breaker if it does not),
    `heard` is told of revisions that were not the one asked for.
    """

    def __init__(
        self,
        ask: Callable[[Rule, bytes, float], Awaitable[Reply]],
        is_alive: Callable[[], Awaitable[bool]],
        heard: Callable[[frozenset[str]], None],
        *,
        batch_checks: int,
        deadline_seconds: float,
    ) -> None:
        self._ask, self._is_alive, self._heard = ask, is_alive, heard
        self._batch_checks = batch_checks
        self._deadline_seconds = deadline_seconds
        self._waiting: deque[Check] = deque()
        self._unanswered: deque[Check] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._apart: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Semaphore(_ALONE_AT_ONCE)

    def put(self, policy: Revision, document: bytes) -> "asyncio.Future[PolicyDecision]":
        """Have one check answered, by its deadline at the latest."""
        loop = asyncio.get_running_loop()
        check = Check(policy, document, loop.time() + self._deadline_seconds, loop.create_future())
        self._waiting.append(check)
        self._unanswered.append(check)
        if self._sweeping is None:
            self._sweeping = loop.call_at(check.due, self._sweep)
        if self._sending is None:
            # The task starts with the loop's next turn: what else came in with this one goes along.
            self._sending = loop.create_task(self._send(), name="engine-batches")
        return check.future

    def refuse_all(self) -> None:
        """Refuse whoever waits, now. An answer that still comes is thrown away."""
        self._waiting.clear()
        while self._unanswered:
            self._unanswered.popleft().refuse("open")

    async def close(self) -> None:
        """Refuse whoever waits and end all calls."""
        self.refuse_all()
        if self._sweeping is not None:
            self._sweeping.cancel()
        tasks = [*self._apart, *([self._sending] if self._sending is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _sweep(self) -> None:
        """Refuse what is due, and come again when the next check is."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        while self._unanswered and (self._unanswered[0].future.done() or self._unanswered[0].due <= loop.time()):
            self._unanswered.popleft().refuse("deadline")
        if self._unanswered:
            self._sweeping = loop.call_at(self._unanswered[0].due, self._sweep)

    async def _send(self) -> None:
        try:
            while batch := self._taken():
                await self._answered(batch)
        finally:
            self._sending = None

    def _taken(self) -> list[Check]:
        """The next checks that go into one call: of one revision, within the limits of an input."""
        batch: list[Check] = []
        size = 0
        while self._waiting and len(batch) < self._batch_checks:
            check = self._waiting[0]
            size += len(check.document) + 1
            if batch and (check.policy is not batch[0].policy or size > MAX_INPUT_BYTES):
                break
            self._waiting.popleft()
            if not check.future.done():
                batch.append(check)
        return batch

    async def _answered(self, batch: list[Check]) -> None:
        if len(batch) > 1 and not batch[0].policy.takes_batches:
            self._take_apart(batch, doubtful=False)
            return
        ENGINE_BATCH_CHECKS.observe(len(batch))
        try:
            reply = await self._asked(batch, FIRST_SHARE * self._deadline_seconds)
        except NoAnswerError:
            self._take_apart(batch, doubtful=True)
        except RuleFailedError:
            self._failed(batch)
        else:
            self._settle(batch, reply)

    async def _asked(self, batch: Sequence[Check], seconds: float) -> Reply:
        if len(batch) == 1:
            return await self._ask("decision", batch[0].document, seconds)
        return await self._ask("decisions", batch_document([check.document for check in batch]), seconds)

    def _failed(self, batch: list[Check]) -> None:
        """One of them is at fault: the only one there is, or whoever fails when asked alone."""
        if len(batch) == 1:
            batch[0].answer(ERROR)
        else:
            self._take_apart(batch, doubtful=False)

    def _settle(self, batch: list[Check], reply: Reply) -> None:
        policy = batch[0].policy
        if policy.revision not in reply.revisions:
            self._heard(reply.revisions)
            for check in batch:
                check.refuse("revision")
            return
        if len(batch) == 1:
            batch[0].answer(read_decision(reply.result_set, policy.declared_reasons))
            return
        decisions = read_decisions(reply.result_set, len(batch), policy.declared_reasons)
        if decisions is None:
            self._take_apart(batch, doubtful=False)
            return
        for check, decision in zip(batch, decisions, strict=True):
            check.answer(decision)

    def _take_apart(self, batch: list[Check], *, doubtful: bool) -> None:
        """Ask each alone, beside the batches that follow. `doubtful`: if the server turns out to answer at all."""
        task = asyncio.create_task(self._each(batch, doubtful=doubtful), name="engine-apart")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    async def _each(self, batch: list[Check], *, doubtful: bool) -> None:
        if doubtful and not await self._is_alive():
            for check in batch:
                check.refuse("no_answer")
            return
        await asyncio.gather(*(self._by_itself(check) for check in batch))

    async def _by_itself(self, check: Check) -> None:
        async with self._alone:
            left_seconds = check.due - asyncio.get_running_loop().time()
            if check.future.done() or left_seconds <= 0:
                return
            ENGINE_BATCH_CHECKS.observe(1)
            try:
                self._settle([check], await self._asked([check], ALONE_SHARE * left_seconds))
            except RuleFailedError:
                check.answer(ERROR)
            except NoAnswerError as error:
                await self._blame(check, late=error.late)

    async def _blame(self, check: Check, *, late: bool) -> None:
        """A check that takes too long while others are answered is at fault itself."""
        if await self._is_alive() and late:
            check.answer(ERROR)
        else:
            check.refuse("no_answer")
