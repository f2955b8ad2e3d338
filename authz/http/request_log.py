"""One line in the log for each request on the decision listener: all denials and errors, and a sample of the allows."""

from typing import Final

import structlog

from authz.core import AccessRequest, Decision


class RequestLog:
    """Writes one line for each request, and for one in `allows_one_in` allows (0: for none).

    The line has what leads to the record in the ledger and no more: who asked for what is written there.
    """

    def __init__(self, allows_one_in: int) -> None:
        self._one_in: Final = allows_one_in
        self._since = 0
        self._log = structlog.get_logger("authz.decisions").bind()

    def finished(self, asked: AccessRequest | None, decision: Decision | None, status: int, seconds: float) -> None:
        """Say how a request ended; both are None for one that never became a question."""
        if decision is None and status < 400:
            return  # many decisions, or none and nothing refused
        if decision is not None and decision.allow and not self._is_sampled():
            return
        self._log.info(
            _event(decision),
            status=status,
            reason=decision.reason if decision else None,
            decision_id=decision.id if decision else None,
            route=decision.route if decision else None,
            request_id=asked.request_id if asked else None,
            trace_id=asked.trace_id if asked else None,
            enforced=not asked.caller.observes if asked else None,
            seconds=round(seconds, 6),
        )

    def _is_sampled(self) -> bool:
        self._since += 1
        if self._since != self._one_in:
            return False
        self._since = 0
        return True


def _event(decision: Decision | None) -> str:
    if decision is None:
        return "request_refused"
    return "request_allowed" if decision.allow else "request_denied"
