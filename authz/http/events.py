"""`POST /v1/events`: what callers report after the fact."""

from typing import Final

import msgspec
from aiohttp import web

from authz.core import AuditUnavailableError, OverloadedError
from authz.gateways import Reply, RequestHead, refusal
from authz.http.answers import Answer, only_post, read_body
from authz.http.callers import Callers
from authz.reporting import Reporter

EVENTS: Final = "/v1/events"

_RETRY_SECONDS: Final = "1"


class EventsRoute:
    """Takes one event or an array of them from a known caller, and says of each what became of it."""

    def __init__(self, reporter: Reporter, callers: Callers) -> None:
        self._reporter = reporter
        self._callers = callers

    async def answer(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        """200 when something of it is in the ledger now or was before, 400 when all of it was refused.

        Raises as reading and identifying do.
        """
        only_post(head)
        known, _ = self._callers.identify(request, EVENTS)
        try:
            report = await self._reporter.report(known.caller, await read_body(request))
        except (AuditUnavailableError, OverloadedError) as error:
            reply = refusal(head, 503, error.code, "Not all of it is known to be recorded; send the same call again.")
            reply.headers["Retry-After"] = _RETRY_SECONDS
            return Answer(reply)
        status = 400 if report.refused and report.refused == len(report.events) else 200
        return Answer(Reply(status, {"Content-Type": "application/json"}, msgspec.json.encode(report)))
