"""OPA's Data API over HTTP."""

from collections.abc import Callable

from aiohttp import web

from authz.core import REFUSALS, AuthzError, DecisionPoint
from authz.gateways import OPA_DATA, Reply, RequestHead, opa_data
from authz.http.answers import Answer, Route, only_post, read_body, refused
from authz.http.callers import Callers


class DataRoutes:
    """Answers clients of OPA as OPA does: its results, its decision ids, its errors."""

    def __init__(self, decisions: DecisionPoint, callers: Callers, count_refusal: Callable[[str], None]) -> None:
        self._decisions = decisions
        self._callers = callers
        self._count_refusal = count_refusal
        self.routes: dict[str, Route] = dict.fromkeys(OPA_DATA, self._answer)

    async def _answer(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        try:
            return await self._decided(head, request)
        except AuthzError as error:
            status = REFUSALS.get(error.code)
            if status is None:
                raise
            reply = refused(head, error, self._count_refusal)
            body = opa_data.failure(status, str(error), error.code)
            return Answer(Reply(status, {**reply.headers, "Content-Type": "application/json"}, body, error.code))

    async def _decided(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        path = head.target.partition("?")[0]
        only_post(head)
        known, token = self._callers.identify(request, path)
        asked = opa_data.read(await read_body(request), head.headers, known.caller, token)
        decision = await self._decisions.decide(asked)
        return Answer(opa_data.write(decision, path, explain=known.may_explain), decision, asked)
