"""The watermark: the service is unready before the disk is full."""

import math
import threading
from pathlib import Path

import pytest

from authz.metrics import AUDIT_DISK_DAYS_LEFT, AUDIT_DISK_FREE_BYTES
from authz.readiness import Check
from authz.recording import DiskWatch, ledger_checks
from tests.recording.conftest import Guarded, Make

DAY = 86_400.0


class Machine:
    """A disk and a clock to set."""

    def __init__(self) -> None:
        self.free: int | OSError = 1000
        self.written = 0
        self.time = 0.0
        self.asked_in: set[str] = set()

    def free_bytes(self, directory: Path) -> int:
        self.asked_in.add(threading.current_thread().name)
        if isinstance(self.free, OSError):
            raise self.free
        return self.free

    def now(self) -> float:
        return self.time

    def elapsed(self) -> float:
        return self.time

    def watch(self) -> DiskWatch:
        return DiskWatch(Path("/d"), 500, self, free_bytes=self.free_bytes, written_bytes=lambda: self.written)


def check(made: Guarded, disk: DiskWatch) -> Check:
    return ledger_checks(made.ledger, disk, made.damage)[1]


async def test_below_the_reserve_it_is_not_ready(guarded: Make) -> None:
    """The check says how much is left and what to do; with room again it is well."""
    made, machine = guarded(), Machine()
    disk = machine.watch()
    await disk.look()
    assert check(made, disk) == Check("disk", ok=True, detail="1000 bytes free, the reserve is 500")
    machine.free = 499
    await disk.look()
    found = check(made, disk)
    assert (found.ok, found.detail) == (False, "499 bytes free, the reserve is 500")
    assert found.fix.startswith("Free room on the disk under the state directory")
    assert AUDIT_DISK_FREE_BYTES._value.get() == 499
    machine.free = 500
    await disk.look()
    assert check(made, disk).ok


async def test_a_disk_that_cannot_be_asked_is_not_ready(guarded: Make) -> None:
    """Nothing is assumed of it."""
    made, machine = guarded(), Machine()
    disk = machine.watch()
    machine.free = OSError(5, "EIO")
    await disk.look()
    found = check(made, disk)
    assert (found.ok, found.detail) == (False, "the disk cannot be asked for its room: [Errno 5] EIO")


async def test_in_degraded_mode_a_low_disk_is_said_and_keeps_nobody_from_deciding(guarded: Make) -> None:
    """The detail and the fix are the same."""
    made, machine = guarded(degraded=True), Machine()
    disk = machine.watch()
    machine.free = 1
    await disk.look()
    found = check(made, disk)
    assert (found.ok, found.detail, bool(found.fix)) == (True, "1 bytes free, the reserve is 500", True)


async def test_the_disk_is_never_asked_on_the_event_loop() -> None:
    """A disk that hangs must hold up nobody."""
    machine = Machine()
    await machine.watch().look()
    assert threading.main_thread().name not in machine.asked_in


async def test_days_left_follow_the_rate_at_which_the_ledger_grew() -> None:
    """Unknown at first; then the room over the rate of the last day."""
    machine = Machine()
    disk = machine.watch()
    await disk.look()
    assert math.isnan(AUDIT_DISK_DAYS_LEFT._value.get())
    machine.time, machine.written, machine.free = DAY, 400, 800
    await disk.look()
    assert AUDIT_DISK_DAYS_LEFT._value.get() == pytest.approx(2.0)
