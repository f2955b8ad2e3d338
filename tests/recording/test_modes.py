"""Strict and degraded: what goes out when the ledger fails, and what is said of it afterwards."""

import asyncio
import errno
from typing import Any

import pytest

from authz.audit import WriterLimits, verify
from authz.core import AuditUnavailableError, BadRequestError, OverloadedError
from authz.metrics import AUDIT_DEGRADED, AUDIT_FAILURES_TOTAL, AUDIT_UNRECORDED_TOTAL
from authz.recording import Degrading
from tests.recording.conftest import Guarded, Make, decision

HOUR = Degrading(3600, "the disk is being replaced", "h1:k:op")


def counted() -> dict[str, float]:
    """How many went out unrecorded, and how many failed."""
    found = {name: AUDIT_UNRECORDED_TOTAL.labels(name)._value.get() for name in ("allow", "deny", "error", "none")}
    return {**found, "failures": AUDIT_FAILURES_TOTAL._value.get()}


def grown(before: dict[str, float]) -> dict[str, float]:
    return {name: n - before[name] for name, n in counted().items() if n != before[name]}


def breaks(made: Guarded) -> None:
    """The disk takes nothing until it is forgiven."""
    made.files.fail("write", *[errno.ENOSPC] * 1000)


async def test_in_strict_mode_nothing_goes_out_unrecorded(guarded: Make) -> None:
    """Each failure raises, for an allow and for a deny, and there is no gap to tell of."""
    made, before = guarded(), counted()
    await made.ledger.open()
    breaks(made)
    for outcome in ("allow", "deny", "allow"):
        with pytest.raises(AuditUnavailableError):
            await made.ledger.record(decision("x", outcome))
    made.files.forgive()
    await made.healthy()
    await made.ledger.record(decision("after"))
    await made.close()
    assert grown(before) == {"failures": 3}
    assert [record["id"] for record in made.of_type("auth.scope_granted", "auth.scope_denied")] == ["after"]
    assert made.of_type("audit.gap") == []


async def test_in_degraded_mode_they_go_out_and_one_gap_tells_of_them(guarded: Make) -> None:
    """From when until when, how many of each kind, the first and the last id, why, and who allowed it."""
    made, before = guarded(degraded=True), counted()
    await made.ledger.open()
    await made.ledger.record(decision("before"))
    breaks(made)
    for number, outcome in enumerate(("allow", "deny", "allow", "error")):
        await made.ledger.record(decision(f"lost{number}", outcome))
    assert made.ledger.unrecorded.startswith("4 events since 2")
    assert made.ledger.failure == "[Errno 28] ENOSPC"
    made.files.forgive()
    await made.healthy()
    await made.ledger.record(decision("after"))
    await made.close()
    assert grown(before) == {"allow": 2, "deny": 1, "error": 1, "failures": 4}
    [gap] = made.of_type("audit.gap")
    assert gap["from"] < gap["until"] < gap["ts"]
    assert {name: value for name, value in gap.items() if name not in {"prev", "seq", "id", "ts", "from", "until"}} == {
        "type": "audit.gap",
        "lost": 4,
        "decisions": {"allow": 2, "deny": 1, "error": 1, "none": 0},
        "types": {"auth.scope_denied": 2, "auth.scope_granted": 2},
        "first_id": "lost0",
        "last_id": "lost3",
        "reason": "The record is not durable: [Errno 28] ENOSPC",
        "allowed_by": "audit.mode",
    }
    assert [record["id"] for record in made.of_type("auth.scope_granted")] == ["before", "after"]
    assert verify(made.directory).issues == ()


async def test_a_gap_whose_record_fails_stays_open(guarded: Make) -> None:
    """What is lost meanwhile belongs to it; the one record that is durable in the end tells of all."""
    made = guarded(degraded=True)
    await made.ledger.open()
    breaks(made)
    await made.ledger.record(decision("a"))
    await made.ledger.settle()
    await made.ledger.record(decision("b", "deny"))
    made.files.forgive()
    await made.healthy()
    await made.close()
    [gap] = made.of_type("audit.gap")
    assert (gap["lost"], gap["first_id"], gap["last_id"]) == (2, "a", "b")


async def test_nobody_waits_long_for_a_device_that_hangs(guarded: Make) -> None:
    """In degraded mode: the first ones wait their time, and the records they left behind may count all the same."""
    made, before = guarded(degraded=True), counted()
    await made.ledger.open()
    made.files.gate.clear()
    async with asyncio.timeout(2):
        await asyncio.gather(*(made.ledger.record(decision(f"e{number}")) for number in range(5)))
    assert grown(before) == {"allow": 5, "failures": 5}
    made.files.gate.set()
    await made.healthy()
    await made.close()
    [gap] = made.of_type("audit.gap")
    assert (gap["lost"], gap["reason"]) == (5, "The device has not answered for 0.1 s")
    assert {record["id"] for record in made.of_type("auth.scope_granted")} == {f"e{number}" for number in range(5)}


async def test_a_full_queue_is_a_failure_too(guarded: Make) -> None:
    """Strict: the caller is told to come again. Degraded: it goes out."""
    limits = WriterLimits(pending_records=1)
    for degraded in (False, True):
        made = guarded(degraded=degraded, limits=limits)
        await made.ledger.open()
        made.files.gate.clear()
        waiting = asyncio.create_task(made.writer.record(decision("w")))
        await asyncio.sleep(0.01)
        if degraded:
            await made.ledger.record(decision("x"))
        else:
            with pytest.raises(OverloadedError):
                await made.ledger.record(decision("x"))
        made.files.gate.set()
        await waiting
        await made.close()


async def test_degraded_for_a_stated_time_and_not_longer(guarded: Make) -> None:
    """It is recorded who asked for it and why, works while the ledger fails, and ends by itself."""
    made, before = guarded(), counted()
    await made.ledger.open()
    until = await made.ledger.degrade(Degrading(0.2, "the disk is slow", "h1:k:op"))
    assert AUDIT_DEGRADED._value.get() == 1
    breaks(made)
    await made.ledger.record(decision("lost"))
    await asyncio.sleep(0.25)
    with pytest.raises(AuditUnavailableError):
        await made.ledger.record(decision("strict again"))
    made.ledger.look()
    assert AUDIT_DEGRADED._value.get() == 0
    made.files.forgive()
    await made.healthy()
    await made.close()
    [command] = made.of_type("audit.degraded")
    assert [command[name] for name in ("until", "seconds", "reason", "by")] == [
        until,
        0.2,
        "the disk is slow",
        "h1:k:op",
    ]
    [gap] = made.of_type("audit.gap")
    assert (gap["lost"], gap["allowed_by"]) == (1, "h1:k:op: the disk is slow")
    assert grown(before) == {"allow": 1, "failures": 2}


async def test_the_command_works_on_a_ledger_that_already_fails(guarded: Make) -> None:
    """Its record is owed, and comes before the gap."""
    made = guarded()
    await made.ledger.open()
    breaks(made)
    with pytest.raises(AuditUnavailableError):
        await made.ledger.record(decision("refused"))
    await made.ledger.owing.record(decision("admin"))
    await made.ledger.degrade(HOUR)
    await made.ledger.record(decision("lost", "deny"))
    made.files.forgive()
    await made.healthy()
    await made.close()
    told = made.of_type("auth.scope_granted", "audit.degraded", "audit.gap")
    assert [record["type"] for record in told] == ["auth.scope_granted", "audit.degraded", "audit.gap"]
    assert told[2]["lost"] == 1


async def test_zero_seconds_end_it_at_once(guarded: Make) -> None:
    """What was degraded is strict again."""
    made = guarded()
    await made.ledger.open()
    await made.ledger.degrade(HOUR)
    await made.ledger.degrade(Degrading(0, "the disk is back", "h1:k:op"))
    breaks(made)
    with pytest.raises(AuditUnavailableError):
        await made.ledger.record(decision("x"))
    made.files.forgive()
    await made.healthy()
    await made.close()
    assert [record["seconds"] for record in made.of_type("audit.degraded")] == [3600, 0]


async def test_what_is_no_allow_is_not_owed(guarded: Make) -> None:
    """A denied operator's act fails with the ledger, and so do more than a thousand."""
    made = guarded()
    await made.ledger.open()
    breaks(made)
    with pytest.raises(AuditUnavailableError):
        await made.ledger.owing.record(decision("x", "deny"))
    for number in range(1000):
        await made.ledger.owing.record(decision(f"e{number}"))
    with pytest.raises(AuditUnavailableError):
        await made.ledger.owing.record(decision("too many"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"seconds": -1}, "seconds"),
        ({"seconds": 86_401}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
async def test_a_command_that_says_too_little_is_refused(guarded: Make, changed: dict[str, Any], field: str) -> None:
    """The field is named, and nothing is degraded."""
    made = guarded()
    await made.ledger.open()
    with pytest.raises(BadRequestError, match=f"^{field}: "):
        await made.ledger.degrade(HOUR._replace(**changed))
    assert not made.mode.degraded


async def test_a_gap_is_told_of_at_the_end_if_not_before(guarded: Make) -> None:
    """On a full disk the ballast makes room for the gap, the shutdown and the closing record."""
    made = guarded(degraded=True, limits=WriterLimits(retry_seconds=60, ballast_bytes=65_536))
    await made.ledger.open()
    ballast = made.directory / "main" / "ballast"
    async with asyncio.timeout(5):
        while not ballast.exists():
            await asyncio.sleep(0.001)
    real = made.files.write
    made.files.write = lambda fd, data: real(fd, data) if not ballast.exists() else full()  # type: ignore[method-assign]
    await made.ledger.record(decision("lost"))
    await made.close()
    assert [record["type"] for record in made.of_type("audit.gap", "system.shutdown", "audit.segment_close")] == [
        "audit.gap",
        "system.shutdown",
        "audit.segment_close",
    ]
    assert verify(made.directory).issues == ()


def full() -> int:
    raise OSError(errno.ENOSPC, "ENOSPC")
