"""One line in the log for each request on the decision listener: all denials and errors, and a sample of the allows."""

from typing import Final

import structlog

from authz.core import AccessRequest, Decision
from authz.gateways import Reply, RequestHead, correlation


class RequestLog:
    """Writes one line for each request, and for one in `allows_one_in` allows (0: for none).

    The line has what leads to the record in the ledger and no more: who asked for what is written there.
    """

    def __init__(self, allows_one_in: int) -> None:
        self._one_in: Final = allows_one_in
        self._since = 0
        self._log = structlog.get_logger("authz.decisions").bind()

    def finished(self, asked: AccessRequest, decision: Decision, status: int, seconds: float) -> None:
        """Say how a request with one decision ended."""
        if decision.allow and not self._is_sampled():
            return
        self._log.info(
            "request_allowed" if decision.allow else "request_denied",
            status=status,
            reason=decision.reason,
            decision_id=decision.id,
            route=decision.route,
            request_id=asked.request_id,
            trace_id=asked.trace_id,
            enforced=not asked.caller.observes,
            seconds=round(seconds, 6),
        )

    def refused(self, head: RequestHead, reply: Reply, seconds: float) -> None:
        """Say how a request ended that never became a question, or all of whose questions had no answer."""
        if reply.status < 400:
            return  # many decisions, or none and nothing refused
        found = correlation(head.headers)
        self._log.info(
            "request_refused",
            status=reply.status,
            reason=reply.refusal,
            decision_id=reply.headers.get("X-Decision-Id"),
            route=None,
            request_id=found["request_id"],
            trace_id=found["trace_id"],
            enforced=None,
            seconds=round(seconds, 6),
        )

    def _is_sampled(self) -> bool:
        self._since += 1
        if self._since != self._one_in:
            return False
        self._since = 0
        return True
