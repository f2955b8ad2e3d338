"""Salts under kill -9: whoever is in the ledger can be found again, or erased, and nothing clear lies anywhere."""

import asyncio
import itertools
import random
import signal
from pathlib import Path

import pytest

from authz.audit import get_audit_events, verify_audit_integrity
from authz.identity import mint_token
from authz.privacy import DEFAULT_KEY, DEFAULT_STORE, erase_offline, known_pseudonyms, load_keyring
from tests.processes import Sidecar, sidecar

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_CALLERS = 16
_SALTED = {"AUTHZ_AUDIT__PRIVACY": "salts"}


async def _new_people_until_it_dies(running: Sidecar, names: "itertools.count[int]", asked: set[str]) -> None:
    """One caller on one connection: each request is somebody's whom the service has never seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        while True:
            name = f"person-{next(names)}-Zq7"
            asked.add(name)
            token = mint_token(running.state, name, ("user_basic",), None, claims={"sid": f"sid-of-{name}"})
            target, who = f"/check/envoy/users/{name}/profile", f"Authorization: Bearer {token}"
            writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n{who}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(fields["content-length"]))
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()


async def test_nobody_in_the_ledger_is_without_a_salt(tmp_path: Path) -> None:
    """After each kill -9 every subject and session that is recorded is found by its clear ID, and can be erased."""
    state, names = tmp_path / "state", itertools.count()
    asked: set[str] = set()
    for _ in range(2):
        with sidecar(state, environment=_SALTED) as running:
            callers = [asyncio.create_task(_new_people_until_it_dies(running, names, asked)) for _ in range(_CALLERS)]
            enough = len(asked) + 120
            while len(asked) < enough:
                await asyncio.sleep(random.uniform(0.01, 0.1))
            running.process.send_signal(signal.SIGKILL)
            await asyncio.gather(*callers)
            running.process.wait()

    ring, table = load_keyring(state / DEFAULT_KEY), state / DEFAULT_STORE
    known = {name: known_pseudonyms(ring, table, name)[-1] for name in asked}
    sessions = {known_pseudonyms(ring, table, f"sid-of-{name}")[-1] for name in asked}
    recorded = [event for event in get_audit_events(limit=1_000_000, path=state) if event.get("subject")]
    assert len(recorded) > 100
    assert {event["subject"] for event in recorded} <= set(known.values())
    assert {event["params"]["id"] for event in recorded} <= set(known.values())
    assert {event["session_id"] for event in recorded} <= sessions
    assert b"-Zq7" not in b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())

    somebody = next(name for name in asked if known[name] == recorded[0]["subject"])
    erased = await asyncio.to_thread(erase_offline, state, ring, table, somebody, None, dry_run=False)
    assert (erased.complete, erased.identities, erased.owned, erased.unlinked) == (True, 1, 1, 1)
    assert known_pseudonyms(ring, table, somebody) == ring.pseudonyms(somebody)
    assert await asyncio.to_thread(verify_audit_integrity, state) == (True, [])
