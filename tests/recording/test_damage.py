"""Damage in sealed segments: paged always, and refused for only where that is configured."""

import pytest

from authz.core import AuditUnavailableError
from authz.metrics import AUDIT_DAMAGE
from authz.readiness import Check
from authz.recording import DiskWatch, ledger_checks
from tests.audit.ledger import STREAM, SystemClock
from tests.recording.conftest import Guarded, Make, decision

FOUND = {STREAM: ["000000000001.jsonl, line 7: changed"], "worker-1": ["000000000001.jsonl is gone"]}


def checks(made: Guarded) -> dict[str, Check]:
    disk = DiskWatch(made.directory, 0, SystemClock(), free_bytes=lambda _: 1, written_bytes=lambda: 0)
    return {check.name: check for check in ledger_checks(made.ledger, disk, made.damage)}


async def test_damage_pages_and_decisions_go_on(guarded: Make) -> None:
    """Metric and readiness name every finding; the ledger takes records, and the service stays ready."""
    made = guarded()
    await made.ledger.open()
    made.damage.found(FOUND)
    await made.ledger.record(decision("after"))
    assert AUDIT_DAMAGE._value.get() == 2
    assert checks(made)["damage"] == Check(
        "damage",
        ok=True,
        detail="main: 000000000001.jsonl, line 7: changed; worker-1: 000000000001.jsonl is gone",
        fix="Run `authz audit verify`; see docs/ledger.md, Damage",
    )
    assert checks(made)["ledger"].ok
    made.damage.found({})
    assert (AUDIT_DAMAGE._value.get(), checks(made)["damage"].detail) == (0, "none is known")


async def test_where_damage_stops_nothing_is_recorded_any_more(guarded: Make) -> None:
    """Not even in degraded mode, and not after it is no longer told of: only the next start decides anew."""
    made = guarded(on_damage="stop", degraded=True)
    await made.ledger.open()
    await made.ledger.record(decision("before"))
    made.damage.found(FOUND)
    made.damage.found({})
    with pytest.raises(AuditUnavailableError, match="line 7: changed"):
        await made.ledger.record(decision("after"))
    found = checks(made)
    assert (found["ledger"].ok, found["damage"].ok) == (False, False)
    await made.close()
    assert [record["id"] for record in made.of_type("auth.scope_granted", "system.shutdown")] == ["before", "last"]


async def test_damage_elsewhere_stops_nothing(guarded: Make) -> None:
    """A stream that was left, or another worker's, is not the one that is written."""
    made = guarded(on_damage="stop")
    await made.ledger.open()
    made.damage.found({"worker-1": FOUND["worker-1"]})
    await made.ledger.record(decision("after"))
    assert (made.damage.stop, made.damage.findings) == (None, ("worker-1: 000000000001.jsonl is gone",))


async def test_what_two_find_is_kept_apart(guarded: Make) -> None:
    """One that finds nothing more takes back its own findings only; what both find counts once."""
    made = guarded()
    made.damage.found({STREAM: ["a", "b"]}, by="recovery")
    made.damage.found({STREAM: ["b", "c"]})
    both = made.damage.findings
    made.damage.found({})
    assert (both, made.damage.findings) == (("main: a", "main: b", "main: c"), ("main: a", "main: b"))


async def test_what_recovery_found_pages(guarded: Make) -> None:
    """A changed line in the last segment is damage, and the start says so."""
    first = guarded()
    await first.ledger.open()
    for name in "abc":
        await first.ledger.record(decision(name))
    await first.close()
    segment = next((first.directory / STREAM).glob("*.jsonl"))
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b'"id":"a"', b'"id":"z"'))
    second = guarded()
    await second.ledger.open()
    assert second.damage.findings == (
        "main: 000000000001.jsonl, line 2: not the line that the next one was chained to",
    )
    await second.close()
