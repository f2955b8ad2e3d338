"""An OPA server as an engine: one client, one breaker, the revisions that are known, and which of them is active."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from authz.core import Catalogue, ContractBreach, read_catalogue
from authz.engine.opa.breaker import Breaker
from authz.engine.opa.client import NoAnswerError, OpaClient, Reply, Rule, RuleFailedError
from authz.engine.opa.gathering import Gathering
from authz.engine.opa.policy import OpaPolicy
from authz.metrics import ENGINE_CALL_DURATION_SECONDS, ENGINE_CALLS_TOTAL
from authz.readiness import Check

DEADLINE_SECONDS: Final = 0.25
BATCH_CHECKS: Final = 64

_CATALOGUE_SECONDS: Final = 5.0
_ALIVE_SHARE: Final = 0.35
"""How much of a deadline it may take to find out whether the server answers at all."""

_log = structlog.get_logger("authz.engine")
_observe = ENGINE_CALL_DURATION_SECONDS.observe


class OpaServer:
    """Asks one OPA server for the decisions of the revisions that `know` was called for, and of no others.

    `followed` is called, on the event loop, with the known policy that the server speaks for, when it begins to answer
    and whenever an answer was not for the revision that was asked for: that one is in force from then on.
    """

    def __init__(
        self,
        client: OpaClient,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        batch_checks: int = BATCH_CHECKS,
    ) -> None:
        self.followed: Callable[[OpaPolicy], None] = lambda _policy: None
        self.active: OpaPolicy | None = None
        self._client = client
        self._deadline_seconds = deadline_seconds
        self._known: dict[str, OpaPolicy] = {}
        self._asking_whether_alive: asyncio.Task[bool] | None = None
        self._gathering = Gathering(
            self._ask, self._is_alive, self._hear, batch_checks=batch_checks, deadline_seconds=deadline_seconds
        )
        self.breaker = Breaker(self._probe, self._gathering.refuse_all)

    def know(
        self,
        revision: str,
        catalogue: Catalogue,
        entrypoints: Sequence[str],
        searches: frozenset[str] = frozenset(),
    ) -> OpaPolicy:
        """The policy of a revision whose bundle is trusted. The server's answers for it count from now on."""
        policy = OpaPolicy(
            revision,
            catalogue,
            entrypoints,
            searches,
            gathering=self._gathering,
            breaker=self.breaker,
            ask=lambda rule, document: self._ask(rule, document, self._deadline_seconds),
            on_close=lambda: self.forget(revision),
        )
        self._known[revision] = policy
        return policy

    def forget(self, revision: str) -> None:
        """Believe no answer of this revision any more."""
        self._known.pop(revision, None)

    async def start(self, within_seconds: float = 0.0) -> bool:
        """Begin to probe, and wait that long for the first good answer. True if there was one."""
        self.breaker.start()
        return await self.breaker.wait(within_seconds)

    async def close(self) -> None:
        """Refuse whoever waits and hang up."""
        await self.breaker.stop()
        await self._gathering.close()
        await self._client.close()

    def check(self) -> Check:
        """Whether the server answers, for what, and what to do if not."""
        if self.breaker.closed:
            revision = self.active.revision if self.active else "none"
            return Check("engine", ok=True, detail=f"OPA at {self._client.place} serves revision {revision}")
        return Check(
            "engine",
            ok=False,
            detail=f"OPA at {self._client.place}: {self.breaker.reason}",
            fix="See that it runs, that opa.url, opa.ca_file and opa.token_file fit it, and that its bundle is ours",
        )

    async def _ask(self, rule: Rule, document: bytes, seconds: float) -> Reply:
        outcome = "no_answer"
        begun = time.perf_counter()
        try:
            reply = await self._client.ask(rule, document, seconds)
            outcome = "ok"
        except RuleFailedError:
            outcome = "rule_failed"
            raise
        except NoAnswerError as error:
            outcome = "late" if error.late else outcome
            raise
        else:
            return reply
        finally:
            ENGINE_CALLS_TOTAL.labels(rule, outcome).inc()
            _observe(time.perf_counter() - begun)

    async def _is_alive(self) -> bool:
        """Whether the server answers a question that cannot be at fault. All who want to know now share the answer."""
        if self._asking_whether_alive is None:
            self._asking_whether_alive = asyncio.create_task(self._answers(), name="engine-alive")
            self._asking_whether_alive.add_done_callback(self._known_whether_alive)
        return await asyncio.shield(self._asking_whether_alive)

    async def _answers(self) -> bool:
        try:
            await self._ask("decision", b"{}", _ALIVE_SHARE * self._deadline_seconds)
        except NoAnswerError as error:
            self.breaker.trip(str(error))
            return False
        except RuleFailedError:
            return True
        return True

    def _known_whether_alive(self, _task: object) -> None:
        self._asking_whether_alive = None

    async def _probe(self) -> None:
        """As fast as a decision has to be, for a known revision, and with its catalogue. Raises as `OpaClient.ask`."""
        await self._client.open()
        revisions = (await self._ask("decision", b"{}", self._deadline_seconds)).revisions
        policy = next((self._known[each] for each in sorted(revisions) if each in self._known), None)
        if policy is None:
            raise NoAnswerError(f"it serves {_named(revisions)}, and {_named(frozenset(self._known))} is trusted here")
        reply = await self._ask("catalogue", b"{}", _CATALOGUE_SECONDS)
        if policy.revision in reply.revisions and not _agree(reply.result_set, policy.catalogue):
            raise NoAnswerError(f"its catalogue is not that of revision {policy.revision}: its data were changed")
        self._hear(reply.revisions)

    def _hear(self, revisions: frozenset[str]) -> None:
        policy = next((self._known[each] for each in sorted(revisions) if each in self._known), None)
        if policy is None:
            return
        if policy is not self.active:
            self.active = policy
            _log.info("engine_revision", revision=policy.revision)
        self.followed(policy)


def _agree(result_set: bytes, catalogue: Catalogue) -> bool:
    try:
        return read_catalogue(result_set) == catalogue
    except ContractBreach:
        return False


def _named(revisions: frozenset[str]) -> str:
    return ", ".join(f"revision {each[:64]}" for each in sorted(revisions)) or "no bundle"
