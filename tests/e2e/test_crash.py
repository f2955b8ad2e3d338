"""kill -9 under load: what a caller was told is in the ledger, and the ledger verifies."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from authz.audit import get_audit_events, verify_audit_integrity
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_CALLERS = 32
_KILLS = max(2, int(os.environ.get("AUTHZ_TEST_KILLS", "0")) // 10)
"""A tenth of what the ledger alone is put through (tests/audit): a whole sidecar takes its time to start."""


async def _ask_until_it_dies(port: int, token: str, told: list[tuple[str, int]]) -> None:
    """One caller on one connection: notes the id and status of every answer that arrived whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            path = random.choice(("/memory", "/memory/7", "/admin/config", "/health"))
            writer.write(
                f"GET /check/envoy{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(fields["content-length"]))
            told.append((fields["x-decision-id"], int(head[9:12])))
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()


async def _load_then_kill(running: Sidecar, token: str) -> list[tuple[str, int]]:
    told: list[tuple[str, int]] = []
    callers = [asyncio.create_task(_ask_until_it_dies(running.port, token, told)) for _ in range(_CALLERS)]
    await asyncio.sleep(random.uniform(0.1, 0.6))
    running.process.send_signal(signal.SIGKILL)
    await asyncio.gather(*callers)
    running.process.wait()
    return told


@pytest.mark.timeout(60 + 10 * _KILLS)
async def test_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    """After every kill -9 the ledger holds each decision a caller was told, once, as told, and is whole."""
    state = tmp_path / "state"
    told: dict[str, int] = {}
    for _ in range(_KILLS):
        with sidecar(state) as running:
            token = running.token("alice", "user_basic")
            told.update(await _load_then_kill(running, token))

    valid, issues = verify_audit_integrity(state)
    recorded = [event for event in get_audit_events(limit=10_000_000, path=state) if "decision" in event]
    status_of = {("allow", "scope_granted"): 200, ("allow", "public_route"): 200, ("deny", "scope_missing"): 403}
    kept = {event["id"]: status_of[event["decision"], event["reason"]] for event in recorded}

    assert (valid, issues) == (True, [])
    assert len(kept) == len(recorded)
    assert {key: kept.get(key) for key in told} == told
    assert len(told) > 50 * _KILLS
