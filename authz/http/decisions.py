"""The decision listener: gateways and AuthZEN callers ask, we answer."""

import time
from collections.abc import Mapping

from aiohttp import web

from authz.core import DecisionPoint
from authz.gateways import (
    DIALECTS,
    PLUGINS,
    Reply,
    RequestHead,
    dialect_prefix,
    token_elsewhere,
    without_body,
    write,
    write_observed,
)
from authz.http.answers import Answer, Route, only_post, read_body, refused, response, shown
from authz.http.callers import Callers
from authz.http.errors import NotFoundError
from authz.http.request_log import RequestLog
from authz.metrics import DecisionMeter


class DecisionListener:
    """Turns HTTP requests into questions and decisions into replies. `routes`: those beside gateways'."""

    def __init__(
        self,
        decisions: DecisionPoint,
        callers: Callers,
        meter: DecisionMeter,
        log: RequestLog,
        routes: Mapping[str, Route],
        aliases: Mapping[str, str],
    ) -> None:
        self._decide = decisions.decide
        self._callers = callers
        self._meter = meter
        self._log = log
        exact: dict[str, Route] = {**routes, **dict.fromkeys(PLUGINS, self._plugin)}
        self._exact = exact | {alias: exact[path] for alias, path in aliases.items()}
        self._names = dict(zip(exact, exact, strict=True)) | dict(aliases)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever happens in here, the answer to the unexpected is 503 and never an allow."""
        started = time.perf_counter()
        head = RequestHead(request.method, request.raw_path, request.headers)
        try:
            answer = await self._answer(head, request)
        except Exception as error:  # noqa: BLE001 - the last line of defence: the unexpected is a 503, never an allow
            answer = Answer(self._refused(head, error))
        self._count(answer, head, time.perf_counter() - started)
        if answer.upgraded is not None:
            return await answer.upgraded()
        return response(answer.reply, head)

    def _refused(self, head: RequestHead, error: Exception) -> Reply:
        reply = refused(head, error, self._meter.refused)
        prefix = dialect_prefix(head.target.partition("?")[0])
        return without_body(reply) if prefix is not None and DIALECTS[prefix].bodiless else reply

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
        token = token or token_elsewhere(request.headers, known.caller)
        dialect = DIALECTS[prefix]
        asked = dialect.read(RequestHead(head.method, head.target[len(prefix) :], head.headers), known.caller, token)
        decision = await self._decide(asked)
        reply = write_observed(decision) if known.caller.observes else dialect.write(head, decision)
        return Answer(reply, decision, asked)

    async def _plugin(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        path = head.target.partition("?")[0]
        only_post(head)
        # The user's token is in the body; an `Authorization` of the call itself can only be the caller's.
        known, _ = self._callers.identify(request, path)
        asked = PLUGINS[path].read(await read_body(request), known.caller)
        decision = await self._decide(asked)
        reply = write_observed(decision) if known.caller.observes else write(head, decision)
        return Answer(PLUGINS[path].wrap(reply), decision, asked)

    def _count(self, answer: Answer, head: RequestHead, seconds: float) -> None:
        decision, asked, status = answer.decision, answer.asked, answer.reply.status
        route: str | None
        if asked is not None and decision is not None and decision.route is not None:
            route, method = decision.route, asked.action.name
        else:
            path = head.target.partition("?")[0]
            route, method = self._names.get(path), head.method
        self._meter.request_finished(route, method, status, seconds, asked, decision)
        if asked is not None and decision is not None:
            self._log.finished(asked, decision, status, seconds)
        else:
            self._log.refused(head, answer.reply, seconds)
