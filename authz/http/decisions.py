"""The decision listener: gateways and AuthZEN callers ask, we answer."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from msgspec import Struct

from authz.core import (
    AccessRequest,
    BadRequestError,
    BearerToken,
    Decision,
    DecisionPoint,
    Entity,
    Kind,
    read_evaluation,
    write_decision,
)
from authz.gateways import (
    DIALECTS,
    PLUGINS,
    Reply,
    RequestHead,
    dialect_prefix,
    problem,
    provenance,
    write,
    write_observed,
)
from authz.http.answers import read_body, refused, response, shown
from authz.http.callers import Callers, KnownCaller
from authz.http.errors import CallerForbiddenError, MethodNotSupportedError, NotFoundError
from authz.http.events import EVENTS, EventsRoute
from authz.http.request_log import RequestLog
from authz.metrics import DecisionMeter


class Answer(Struct, frozen=True):
    """A reply, and the decision in it, if it came to one."""

    reply: Reply
    decision: Decision | None = None
    asked: AccessRequest | None = None


class DecisionListener:
    """Turns HTTP requests into questions and decisions into replies."""

    def __init__(
        self, decisions: DecisionPoint, callers: Callers, meter: DecisionMeter, log: RequestLog, events: EventsRoute
    ) -> None:
        self._decide = decisions.decide
        self._callers = callers
        self._reported = events
        self._meter = meter
        self._log = log
        self._exact: dict[str, Callable[[RequestHead, web.BaseRequest], Awaitable[Answer]]] = {
            "/access/v1/evaluation": self._evaluation,
            EVENTS: self._events,
            **dict.fromkeys(PLUGINS, self._plugin),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever happens in here, the answer to the unexpected is 503 and never an allow."""
        started = time.perf_counter()
        head = RequestHead(request.method, request.raw_path, request.headers)
        try:
            answer = await self._answer(head, request)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the unexpected is a 503, never an allow
            answer = Answer(refused(head, error, self._meter.refused))
        self._count(answer, head, time.perf_counter() - started)
        return response(answer.reply, head)

    async def _answer(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        path = head.target.partition("?")[0]
        exact = self._exact.get(path)
        if exact is not None:
            return await exact(head, request)
        prefix = dialect_prefix(path)
        if prefix is not None:
            return await self._check(head, request, prefix)
        raise NotFoundError(f"There is nothing at {shown(path)}")

    async def _check(self, head: RequestHead, request: web.BaseRequest, prefix: str) -> Answer:
        known, token = self._callers.identify(request, prefix)
        dialect = DIALECTS[prefix]
        asked = dialect.read(RequestHead(head.method, head.target[len(prefix) :], head.headers), known.caller, token)
        decision = await self._decide(asked)
        reply = write_observed(decision) if known.caller.observes else dialect.write(head, decision)
        return Answer(reply, decision, asked)

    async def _plugin(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        path = head.target.partition("?")[0]
        _only_post(head)
        # The user's token is in the body; an `Authorization` of the call itself can only be the caller's.
        known, _ = self._callers.identify(request, path)
        asked = PLUGINS[path].read(await read_body(request), known.caller)
        decision = await self._decide(asked)
        reply = write_observed(decision) if known.caller.observes else write(head, decision)
        return Answer(PLUGINS[path].wrap(reply), decision, asked)

    async def _events(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        return Answer(await self._reported.answer(head, request))

    async def _evaluation(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        _only_post(head)
        known, token = self._callers.identify(request, "/access/v1/evaluation")
        explain = _wants_explanation(head, known)
        asked = _asked(await read_body(request), head, known, token)
        decision = await self._decide(asked)
        if decision.kind is Kind.UNDECIDED:
            return Answer(problem(head, decision, 503), decision, asked)
        headers = {"Content-Type": "application/json", "X-Decision-Id": decision.id}
        return Answer(Reply(200, headers, write_decision(decision, explain=explain)), decision, asked)

    def _count(self, answer: Answer, head: RequestHead, seconds: float) -> None:
        decision, asked, status = answer.decision, answer.asked, answer.reply.status
        if asked is not None and decision is not None and decision.route is not None:
            route, method = decision.route, asked.action.name
        else:
            path = head.target.partition("?")[0]
            route, method = path if path in self._exact else None, head.method
        self._meter.request_finished(route, method, status, seconds, asked, decision)
        self._log.finished(asked, decision, status, seconds)


def _only_post(head: RequestHead) -> None:
    if head.method != "POST":
        raise MethodNotSupportedError(f"{head.method} is not supported here; use POST")


def _asked(body: bytes, head: RequestHead, known: KnownCaller, token: BearerToken | None) -> AccessRequest:
    """The question in an AuthZEN evaluation; a token in `subject.properties.token` is taken out of it."""
    sent = read_evaluation(body)
    properties = dict(sent.subject.properties)
    stated = properties.pop("token", None)
    if stated is not None:
        if not isinstance(stated, str):
            raise BadRequestError("subject.properties.token: must be a string")
        if token is not None and token.reveal() != stated:
            raise BadRequestError("subject.properties.token: differs from the token in Authorization; send one")
        token = BearerToken(stated)
    return AccessRequest(
        caller=known.caller,
        dialect="authzen",
        subject=Entity(sent.subject.type, sent.subject.id, properties),
        action=sent.action,
        resource=sent.resource,
        context=sent.context,
        token=token,
        **provenance(head.headers),
    )


def _wants_explanation(head: RequestHead, known: KnownCaller) -> bool:
    query = head.target.partition("?")[2]
    if "explain=true" not in query.split("&"):
        return False
    if not known.may_explain:
        raise CallerForbiddenError(f"The caller {known.caller.name} may not ask for explanations; see its `explain`")
    return True
