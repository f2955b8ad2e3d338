"""The lines of `/readyz` about the ledger."""

from authz.readiness import Check
from authz.recording.damage import Damage
from authz.recording.disk import DiskWatch
from authz.recording.ledger import GuardedLedger

_REPAIR = "Free or repair the disk under the state directory; see docs/ledger.md"
_ROOM = (
    "Free room on the disk under the state directory (archive and prune old segments), or lower "
    "audit.disk_reserve_bytes; when the disk is full, decisions are answered 503"
)
_LOOK = "Run `authz audit verify`; see docs/ledger.md, Damage"


def ledger_checks(ledger: GuardedLedger, disk: DiskWatch, damage: Damage) -> tuple[Check, ...]:
    """Whether records can be made durable, whether there is room, and what is known of damage.

    In degraded mode neither a failing ledger nor a full disk keeps this service from deciding, so they do not make it
    unready: they are said.
    """
    return (
        _ledger(ledger, stopped=damage.stop is not None),
        Check("disk", ok=not disk.low or ledger.mode.degraded, detail=str(disk), fix=_ROOM if disk.low else ""),
        Check(
            "damage",
            ok=damage.stop is None,
            detail="; ".join(damage.findings) or "none is known",
            fix=_LOOK if damage.findings else "",
        ),
    )


def _ledger(ledger: GuardedLedger, *, stopped: bool) -> Check:
    failure = ledger.failure
    said = [failure or "records are made durable"]
    said += [f"{what}: {why}" for what, why in sorted(ledger.troubles.items())]
    if ledger.mode.degraded:
        said.insert(0, f"DEGRADED ({ledger.mode.allowed_by}): what cannot be recorded goes out")
    if ledger.unrecorded:
        said.append(ledger.unrecorded)
    ok = failure is None or (ledger.mode.degraded and not stopped)
    fix = _LOOK if stopped else _REPAIR
    return Check("ledger", ok=ok, detail="; ".join(said), fix="" if failure is None else fix)
