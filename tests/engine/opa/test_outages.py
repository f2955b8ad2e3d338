"""A real OPA that is killed, stopped and slowed down under load: no wrong allow, and nobody waits past the deadline."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from authz.core import UNAVAILABLE, PolicyDecision
from authz.engine.opa import NoAnswerError, OpaClient, Place
from tests.e2e.relay import running_relay
from tests.engine.opa.conftest import Ask, Asked, Lag, StartOpa, allowed, question, questions

DEADLINE_SECONDS = 0.25
CALLERS = 64
pytestmark = pytest.mark.slow

DENY = {"allow": False, "reason": "scope_missing", "scopes": ["scope:0"], "missing": ["scope:0"]}
DENIED = PolicyDecision(allow=False, reason="scope_missing", scopes=("scope:0",), missing=("scope:0",))


class Load:
    """Callers that ask again as soon as they are answered; every other one has to be denied."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._end = asyncio.Event()
        self.answers: Counter[str] = Counter()
        self.slowest_seconds = 0.0
        self.wrong: list[PolicyDecision] = []
        self.last_good = 0.0
        self.lag = Lag()
        self._tasks = [asyncio.create_task(self._call(number)) for number in range(CALLERS)]

    async def _call(self, number: int) -> None:
        check, right = (
            (questions(number + 1)[number], allowed(number)) if number % 2 else (question(answer=DENY), DENIED)
        )
        while not self._end.is_set():
            begun = time.monotonic()
            answer = await self._asked.policy.evaluate(check)
            now = time.monotonic()
            self.slowest_seconds = max(self.slowest_seconds, now - begun)
            self.answers[answer.reason] += 1
            if answer == right:
                self.last_good = now
            elif answer != UNAVAILABLE:
                self.wrong.append(answer)
            # Refusals are instant: a caller that spins on them would leave the loop no time.
            await asyncio.sleep(0.002)

    async def until(self, what: str, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Go on until something is true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (what, self.answers, self._asked.server.check())
            await asyncio.sleep(0.002)

    async def stop(self) -> float:
        """End it; the worst lag of the event loop."""
        self._end.set()
        await asyncio.gather(*self._tasks)
        return await self.lag.stop()


async def outage(asked: Asked, harm: Callable[[], None], mend: Callable[[], None]) -> None:
    """Harm a server under load until the breaker opens, and mend it: what has to hold in every such case."""
    load = Load(asked)
    await load.until("answers", lambda: load.answers["scope_granted"] > 200)
    await asyncio.to_thread(harm)
    await load.until("an open breaker", lambda: not asked.server.breaker.closed)
    refused = load.answers["engine_unavailable"]
    await load.until("refusals", lambda: load.answers["engine_unavailable"] > refused + 200)
    check = asked.server.check()
    assert (check.name, check.ok, bool(check.fix)) == ("engine", False, True)
    await asyncio.to_thread(mend)
    mended = time.monotonic()
    await load.until("answers again", lambda: load.last_good > mended)
    recovery_seconds = load.last_good - mended
    lag_seconds = await load.stop()
    assert load.wrong == []
    assert set(load.answers) == {"scope_granted", "scope_missing", "engine_unavailable"}
    assert load.slowest_seconds <= DEADLINE_SECONDS + 2 * lag_seconds + 0.05
    assert recovery_seconds <= 1.0 + 2 * lag_seconds
    assert asked.server.check().ok


async def test_a_server_that_is_killed(ask: Ask, start_opa: StartOpa) -> None:
    """kill -9 and another start: refusals at once, answers within a second of its return."""
    opa = await asyncio.to_thread(start_opa)
    asked = await ask(opa, deadline_seconds=DEADLINE_SECONDS)
    await outage(asked, lambda: opa.signal(signal.SIGKILL), opa.start)


async def test_a_server_that_is_stopped(ask: Ask, start_opa: StartOpa) -> None:
    """SIGSTOP, where connections stay open and nothing comes: refusals within the deadline, and back after SIGCONT."""
    opa = await asyncio.to_thread(start_opa)
    asked = await ask(opa, deadline_seconds=DEADLINE_SECONDS)
    await outage(asked, lambda: opa.signal(signal.SIGSTOP), lambda: opa.signal(signal.SIGCONT))


async def test_a_server_that_is_slow(ask: Ask, start_opa: StartOpa) -> None:
    """Half a second late with every byte it sends: refusals within the deadline, and back when it is fast again."""
    opa = await asyncio.to_thread(start_opa)
    with running_relay() as relay:
        relay.target_path = str(opa.socket)
        asked = await ask(opa, place=Place("127.0.0.1", relay.port), deadline_seconds=DEADLINE_SECONDS)

        def slow() -> None:
            relay.delay_seconds = 0.5

        def fast() -> None:
            relay.delay_seconds = 0.0

        await outage(asked, slow, fast)


async def test_a_server_that_is_not_there_yet(ask: Ask, start_opa: StartOpa) -> None:
    """Before its first answer everything is refused at once, and readiness says what to do."""
    opa = await asyncio.to_thread(start_opa)
    opa.signal(signal.SIGKILL)
    asked = await ask(opa, wait=False)
    begun = time.monotonic()
    assert await asked.policy.evaluate(questions(1)[0]) is UNAVAILABLE
    assert await asked.policy.evaluate_all(questions(3)) == [UNAVAILABLE] * 3
    assert await asked.policy.explain(question()) is None
    assert time.monotonic() - begun < 1.0
    while asked.server.breaker.reason == "not asked yet":
        await asyncio.sleep(0.002)
    check = asked.server.check()
    assert (check.ok, check.detail) == (
        False,
        f"OPA at unix:{opa.socket}: UnixClientConnectorError at unix:{opa.socket}",
    )


async def test_a_connection_that_is_cut_costs_no_answer(ask: Ask, start_opa: StartOpa) -> None:
    """Kept connections that the server's restart cut are no reason to refuse anybody: it is asked once more."""
    opa = await asyncio.to_thread(start_opa)
    asked = await ask(opa)
    assert await asked.policy.evaluate(questions(1)[0]) == allowed(0)
    opa.signal(signal.SIGKILL)
    await asyncio.to_thread(opa.start)
    assert await asked.policy.evaluate_all(questions(8)) == [allowed(number) for number in range(8)]
    assert asked.server.breaker.closed


async def test_a_refused_connection_is_told_at_once(tmp_path: Path) -> None:
    """The client's own retries, with 0.9 s of sleep between them, are off."""
    client = OpaClient(Place("localhost", 1, socket=tmp_path / "none"))
    await client.open()
    begun = time.monotonic()
    with pytest.raises(NoAnswerError, match="UnixClientConnectorError"):
        await client.ask("decision", b"{}", 5.0)
    assert time.monotonic() - begun < 0.8
    await client.close()
