"""AuthZEN 1.0 over HTTP: evaluation and evaluations."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from authz.core import (
    EVALUATION,
    EVALUATIONS,
    AccessRequest,
    Asked,
    BadRequestError,
    Batch,
    BearerToken,
    Decision,
    DecisionPoint,
    Entity,
    Evaluation,
    Kind,
    client_text,
    explained,
    read_evaluation,
    read_evaluations,
    write_decision,
    write_evaluations,
)
from authz.gateways import Reply, RequestHead, problem, provenance, refusal
from authz.http.answers import Answer, Route, read_body
from authz.http.asking import admitted, asked, parted
from authz.http.callers import Callers, KnownCaller


class AuthzenRoutes:
    """Turns AuthZEN requests into questions, and decisions into answers: bare unless an explanation is asked for."""

    def __init__(
        self, decisions: DecisionPoint, callers: Callers, count_refusal: Callable[[str], None], most_items: int
    ) -> None:
        self._decisions = decisions
        self._callers = callers
        self._count_refusal = count_refusal
        self._most_items = most_items
        self.routes: dict[str, Route] = {
            EVALUATION: self._evaluation,
            EVALUATIONS: self._evaluations,
        }

    async def _evaluation(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        known, token, explain = admitted(self._callers, head, request, EVALUATION)
        sent = read_evaluation(await read_body(request))
        return await self._decided(head, known, token, sent, explain=explain)

    async def _evaluations(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        known, token, explain = admitted(self._callers, head, request, EVALUATIONS)
        sent = read_evaluations(await read_body(request), self._most_items)
        if isinstance(sent, Evaluation):
            return await self._decided(head, known, token, sent, explain=explain)
        asking = _Batch(known, token, head)
        questions = [asking.asked(each) for each in sent.items]
        batch = await self._decisions.decide_all(questions, until=sent.until)
        for each in batch.answers:
            if not isinstance(each, Decision):
                self._count_refusal(each.code)
        undecided = _undecided(batch)
        if undecided is not None:
            return Answer(_problem(head, batch.id, undecided), asked=_first(questions))
        headers = {"Content-Type": "application/json", "X-Decision-Id": batch.id}
        why = await self._why(questions, batch) if explain else None
        reply = Reply(200, headers, write_evaluations(batch.answers, explain=explain, why=why))
        return Answer(reply, asked=_first(questions))

    async def _decided(
        self, head: RequestHead, known: KnownCaller, token: BearerToken | None, sent: Evaluation, *, explain: bool
    ) -> Answer:
        question = asked(sent, known, *parted(sent.subject, token), provenance(head.headers))
        decision = await self._decisions.decide(question)
        if decision.kind is Kind.UNDECIDED:
            return Answer(problem(head, decision, 503), decision, question)
        headers = {"Content-Type": "application/json", "X-Decision-Id": decision.id}
        why = await explained(self._decisions, question, decision) if explain else ()
        reply = Reply(200, headers, write_decision(decision, explain=explain, why=why))
        return Answer(reply, decision, question)

    async def _why(self, questions: list[Asked], batch: Batch) -> list[tuple[str, ...]]:
        """Why, of each that was decided; others have their turn in between."""
        said: list[tuple[str, ...]] = []
        for question, answer in zip(questions, batch.answers, strict=False):
            if isinstance(answer, Decision) and isinstance(question, AccessRequest):
                said.append(await explained(self._decisions, question, answer))
            else:
                said.append(())
            await asyncio.sleep(0)
        return said


class _Batch:
    """What one HTTP request tells of all its questions: who puts them, with which token, from where.

    A subject that several items share stays one object, so that it is verified once.
    """

    def __init__(self, known: KnownCaller, token: BearerToken | None, head: RequestHead) -> None:
        self._known = known
        self._token = token
        self._whence = provenance(head.headers)
        self._subjects: dict[int, tuple[Entity, BearerToken | None]] = {}

    def asked(self, sent: Evaluation | BadRequestError) -> AccessRequest | BadRequestError:
        """The question in one element, or why there is none."""
        if isinstance(sent, BadRequestError):
            return sent
        known = self._subjects.get(id(sent.subject))
        if known is None:
            try:
                known = self._subjects[id(sent.subject)] = parted(sent.subject, self._token)
            except BadRequestError as error:
                return error
        return asked(sent, self._known, *known, self._whence)


def _first(questions: list[Asked]) -> AccessRequest | None:
    """One that tells who asked."""
    return next((each for each in questions if isinstance(each, AccessRequest)), None)


def _problem(head: RequestHead, batch: str, reason: str) -> Reply:
    reply = refusal(head, Kind.UNDECIDED.value, reason, client_text(reason), decision_id=batch)
    reply.headers["X-Decision-Id"] = batch
    return reply


def _undecided(batch: Batch) -> str | None:
    """The reason when nothing of a batch could be decided: then it is no answer, as a single one would be none."""
    reasons = [each.reason for each in batch.answers if isinstance(each, Decision) and each.kind is Kind.UNDECIDED]
    return reasons[0] if len(reasons) == len(batch.answers) else None
