"""The clock of an evaluation's deadline."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.engine import EmbeddedPolicy
from authz.engine.ticks import PATIENCE_TICKS, due
from tests.engine.conftest import Compile

SPINNERS = 20
DEADLINE_SECONDS = 0.5
COMPUTING_SECONDS = 0.08
SLOW = """package authz

catalogue := {"scopes": [], "roles": [], "routes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	count([1 | some i in numbers.range(1, input.rounds); some j in numbers.range(1, 100); i + j == 0]) == 0
}
"""


@pytest.mark.parametrize(
    ("computed_seconds", "passed", "ticks"),
    [
        pytest.param(0.01, 1, 1, id="computing all the time"),
        pytest.param(0.0099, 1, 0, id="a little less, which is not lost"),
        pytest.param(0.0198, 2, 1, id="and comes with the next"),
        pytest.param(0.001, 5, 0, id="waiting for a processor"),
        pytest.param(0.08, 4, 4, id="several threads computing"),
        pytest.param(0.0, PATIENCE_TICKS - 1, 0, id="waiting for long"),
        pytest.param(0.0, PATIENCE_TICKS, 1, id="waiting for too long"),
    ],
)
def test_ticks_are_of_computing(computed_seconds: float, passed: int, ticks: int) -> None:
    """Never more than by the clock, fewer while the process waits, and not none for ever."""
    assert due(computed_seconds, passed) == ticks


@contextlib.contextmanager
def starved() -> Iterator[None]:
    """This thread shares one processor with programs that want all of it."""
    before = os.sched_getaffinity(0)
    spinners = []
    try:
        os.sched_setaffinity(0, {min(before)})
        spinners = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(SPINNERS)]
        yield
    finally:
        for each in spinners:
            each.kill()
            each.wait()
        os.sched_setaffinity(0, before)


@pytest.mark.slow
async def test_who_waits_for_a_processor_is_not_cut_off(compile_policy: Compile, tmp_path: Path) -> None:
    """An evaluation that computes for less than its deadline has its answer, however long it took by the clock."""
    (tmp_path / "slow.rego").write_text(SLOW)
    sources = compile_policy(tmp_path, "decision", "catalogue")
    policy = EmbeddedPolicy.load(sources.wasm, sources.data, "r1", deadline_seconds=DEADLINE_SECONDS)
    await policy.evaluate(b'{"rounds": 100}')
    begun = time.thread_time()
    await policy.evaluate(b'{"rounds": 300}')
    rounds = int(300 * COMPUTING_SECONDS / (time.thread_time() - begun))
    with starved():
        clock = time.perf_counter()
        decision = await policy.evaluate(b'{"rounds": %d}' % rounds)
        took = time.perf_counter() - clock
    policy.close()
    assert took > DEADLINE_SECONDS, "it was not kept waiting"
    assert decision.allow, (decision, took)
