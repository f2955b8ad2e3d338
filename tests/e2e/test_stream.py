"""Decision streams against a running sidecar: many at once, and its end."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.bench.stream_bench import PATIENT, measure
from tests.http.streaming import stream
from tests.http.test_decisions import question
from tests.processes import sidecar

pytestmark = pytest.mark.e2e


def test_no_answer_is_lost_or_mistaken(tmp_path: Path) -> None:
    """On many streams at once each message gets the answer to its own question, and each is on record."""
    streams = int(os.environ.get("AUTHZ_TEST_STREAMS", "30"))
    with sidecar(tmp_path / "state", environment=PATIENT) as pdp:
        found = asyncio.run(measure(pdp, streams, per_second=10, seconds=2))
        metrics = pdp.metrics()

    assert (found.asked, found.mismatched, found.undecided, found.lost) == (streams * 20, 0, 0, 0)
    assert metrics['authz_ws_messages_total{kind="evaluation",outcome="ok"}'] == streams * 20
    recorded = sum(metrics[f'authz_audit_decisions_total{{decision="{each}"}}'] for each in ("allow", "deny"))
    assert recorded == streams * 20


def test_a_stopped_sidecar_says_goodbye(tmp_path: Path) -> None:
    """SIGTERM ends every stream with 1001, after the answers that were asked for, and exits with 0."""

    async def talk(url: str) -> tuple[bool, int | None]:
        async with stream(url) as client:
            answer = await client.ask(id=1, subscribe=question())
            pdp.process.terminate()
            return answer["decision"], await client.closed()

    with sidecar(tmp_path / "state", environment=PATIENT) as pdp:
        answered, code = asyncio.run(talk(pdp.decision))
        assert pdp.process.wait(timeout=30) == 0
    assert (answered, code) == (True, 1001)
