"""One policy revision that an OPA server evaluates."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from authz.core import (
    ERROR,
    UNAVAILABLE,
    Candidates,
    Catalogue,
    Explanation,
    PolicyDecision,
    RouteTable,
    read_candidates,
    read_explanation,
)
from authz.engine.guest import MAX_INPUT_BYTES
from authz.engine.opa.breaker import Breaker
from authz.engine.opa.client import NoAnswerError, Reply, Rule, RuleFailedError
from authz.engine.opa.gathering import Gathering
from authz.metrics import ENGINE_REFUSED_TOTAL

_refused_open = ENGINE_REFUSED_TOTAL.labels("open").inc


class OpaPolicy:
    """Implements core.Policy: the route table is here, the evaluation is the server's.

    The server may have moved on to another revision: its answers are then SUPERSEDED, never used.
    """

    engine = "opa"

    def __init__(
        self,
        revision: str,
        catalogue: Catalogue,
        entrypoints: Sequence[str],
        searches: frozenset[str] = frozenset(),
        *,
        gathering: Gathering,
        breaker: Breaker,
        ask: Callable[[Rule, bytes], Awaitable[Reply]],
        on_close: Callable[[], None],
    ) -> None:
        self.on_close = on_close
        self.revision = revision
        self.catalogue = catalogue
        self.searches = searches
        self.routes = RouteTable(catalogue.route_table())
        self.declared_reasons = frozenset(catalogue.reasons)
        self.takes_batches = "authz/decisions" in entrypoints
        self._explains = "authz/explain" in entrypoints
        self._gathering = gathering
        self._breaker = breaker
        self._ask = ask

    async def evaluate(self, check: bytes) -> PolicyDecision:
        """See core.Policy. Answered within the deadline, at once while the breaker is not closed."""
        answer = self._put(check)
        return answer if isinstance(answer, PolicyDecision) else await answer

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        """See core.Policy. They share calls with whatever else is asked at the same time."""
        answers = [self._put(check) for check in checks]
        return [answer if isinstance(answer, PolicyDecision) else await answer for answer in answers]

    async def candidates(self, check: bytes) -> Candidates | None:
        """See core.Policy."""
        result_set = await self._asked("candidates", check) if self.searches else None
        return None if result_set is None else read_candidates(result_set)

    async def explain(self, check: bytes) -> Explanation | None:
        """See core.Policy."""
        result_set = await self._asked("explain", check) if self._explains else None
        return None if result_set is None else read_explanation(result_set)

    def close(self) -> None:
        """Give back what it holds, soon. Answers of its revision do not count any more."""
        self.on_close()

    async def _asked(self, rule: Rule, check: bytes) -> bytes | None:
        """The result set of another rule, for this very revision; None when there is none."""
        if not self._breaker.closed or not _is_sound(check):
            return None
        try:
            reply = await self._ask(rule, check)
        except (NoAnswerError, RuleFailedError):
            return None
        return reply.result_set if self.revision in reply.revisions else None

    def _put(self, check: bytes) -> "PolicyDecision | asyncio.Future[PolicyDecision]":
        if not self._breaker.closed:
            _refused_open()
            return UNAVAILABLE
        if not _is_sound(check):
            return ERROR
        return self._gathering.put(self, check)


def _is_sound(check: bytes) -> bool:
    """Whether a check can be evaluated as it stands. The server would replace what is not Unicode, and go on."""
    if len(check) > MAX_INPUT_BYTES:
        return False
    if check.isascii() and b"\\" not in check:
        return True
    try:
        msgspec.json.decode(check)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
